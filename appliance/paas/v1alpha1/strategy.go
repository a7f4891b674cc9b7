package v1alpha1

// Strategy is how a release takes the place of the one before it. Where there is none before it, all are the same.
//
// +kubebuilder:validation:XValidation:rule="has(self.kind) && self.kind == 'AB' || !has(self.steps) && !has(self.header) && !has(self.cookie)",message="steps, header and cookie are of the strategy AB"
// +kubebuilder:validation:XValidation:rule="has(self.kind) && self.kind != 'Rolling' || !has(self.keepSeconds)",message="keepSeconds is of the strategies BlueGreen and AB: a rolling update leaves nothing to keep"
type Strategy struct {
	// Kind is Rolling, the default: pods are replaced one after the other. BlueGreen starts all of the new release beside the old one
	// and sends it all requests at once. AB sends it a part of them first, in steps.
	// +kubebuilder:validation:Enum=Rolling;BlueGreen;AB
	// +optional
	Kind string `json:"kind,omitempty"`
	// Steps of AB, one after the other; none is one of 50 percent.
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Steps []WeightStep `json:"steps,omitempty"`
	// Header and Cookie: who sends one of them is answered by the new release while AB runs, whatever the weight.
	// +optional
	Header *Pair `json:"header,omitempty"`
	// +optional
	Cookie *Pair `json:"cookie,omitempty"`
	// KeepSeconds is how long the old release stays beside the new one when that has all requests; until then going back takes as long as a change
	// of the route. 0 is 60.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	// +optional
	KeepSeconds int32 `json:"keepSeconds,omitempty"`
}

// The kinds of a Strategy.
const (
	StrategyRolling   = "Rolling"
	StrategyBlueGreen = "BlueGreen"
	StrategyAB        = "AB"
)

// WeightStep is a part of the requests for a while.
type WeightStep struct {
	// Weight is how many of 100 requests the new release gets.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	Weight int32 `json:"weight"`
	// HoldSeconds is how long it must be well with them; 0 is 30.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=604800
	// +optional
	HoldSeconds int32 `json:"holdSeconds,omitempty"`
}

// Pair is a header or a cookie with its value.
type Pair struct {
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]+$`
	// +kubebuilder:validation:MaxLength=60
	Name string `json:"name"`
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_.~-]+$`
	// +kubebuilder:validation:MaxLength=120
	Value string `json:"value"`
}

// Colour tells two releases of an application apart that run beside each other. It stays with the pods of a release whatever part of the
// requests they get.
// +kubebuilder:validation:Enum=Blue;Green
type Colour string

// The colours.
const (
	Blue  Colour = "Blue"
	Green Colour = "Green"
)

// Other is the colour of what runs beside.
func (c Colour) Other() Colour {
	if c == Green {
		return Blue
	}
	return Green
}

// Beside is another release of an application that runs in the other colour. Its stateful components are those of the application.
type Beside struct {
	ApplicationTemplate `json:",inline"`
	// Release that it came from.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Release string `json:"release,omitempty"`
	// Weight is how many of 100 requests from outside it gets; those of other pods go to the application alone.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Weight int32 `json:"weight,omitempty"`
	// Header and Cookie: who sends one of them gets to it, whatever the weight.
	// +optional
	Header *Pair `json:"header,omitempty"`
	// +optional
	Cookie *Pair `json:"cookie,omitempty"`
}

// BesideStatus is how what runs beside is.
type BesideStatus struct {
	State State `json:"state"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	Ready   string `json:"ready"`
}
