package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Application is what runs in an environment: containers, how they are reached, and what they keep. Its controller makes the Kubernetes
// objects for it, and says in one word and one sentence how it is.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=app,categories=islet
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.ready`
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.spec.release`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 30 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="an application's name has at most 30 characters, a to z, 0 to 9 and -, and begins with a letter: it is part of host names"
type Application struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ApplicationSpec `json:"spec"`
	// +optional
	Status ApplicationStatus `json:"status,omitempty"`
}

// ApplicationSpec is what an application is to be.
//
// +kubebuilder:validation:XValidation:rule="(has(self.colour) ? self.colour : 'Blue') == (has(oldSelf.colour) ? oldSelf.colour : 'Blue') || has(oldSelf.beside)",message="the colour changes only where pods of the other one are there, beside: leave it as it is, a release order changes it"
type ApplicationSpec struct {
	ApplicationTemplate `json:",inline"`
	// Stopped applications have no replicas; their volumes, names and routes stay.
	// +optional
	Stopped bool `json:"stopped,omitempty"`
	// Paused rollouts go no further; what runs goes on. Stateful components are not paused.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// RestartedAt is when somebody asked for new pods; a later time replaces them, one after the other.
	// +optional
	RestartedAt *metav1.Time `json:"restartedAt,omitempty"`
	// Release that this came from; a release order sets it.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	Release string `json:"release,omitempty"`
	// Colour of its pods; unset is Blue.
	// +optional
	Colour Colour `json:"colour,omitempty"`
	// Beside is another release that runs at the same time; a release order sets it, and removes it in the end.
	// +optional
	Beside *Beside `json:"beside,omitempty"`
}

// ApplicationTemplate is the part that a release carries from one environment to the next.
type ApplicationTemplate struct {
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=name
	Components []Component `json:"components"`
	// Expose says how components are reached from outside of the environment.
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Expose []Exposure `json:"expose,omitempty"`
	// Needs are services that the application cannot do without; the first that has nobody to answer is the cause when it is not ready.
	// +kubebuilder:validation:MaxItems=20
	// +optional
	Needs []Need `json:"needs,omitempty"`
}

// Exposure is a way to a component from outside: by the gateway, or by a port of the nodes.
//
// +kubebuilder:validation:XValidation:rule="has(self.http) != has(self.nodePort)",message="an exposure is either http, by the gateway, or nodePort, for TCP and UDP"
type Exposure struct {
	// Component that answers; empty is the first.
	// +kubebuilder:validation:MaxLength=20
	// +optional
	Component string `json:"component,omitempty"`
	// Port of the component by its name; empty is the first.
	// +kubebuilder:validation:MaxLength=15
	// +optional
	Port string `json:"port,omitempty"`
	// +optional
	HTTP *HTTPExposure `json:"http,omitempty"`
	// +optional
	NodePort *NodePortExposure `json:"nodePort,omitempty"`
}

// HTTPExposure is a route of the gateway.
type HTTPExposure struct {
	// Host is the first part of the name, before the environment's domain; empty is the application's name.
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=40
	// +optional
	Host string `json:"host,omitempty"`
	// Path that requests begin with; empty is all.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=200
	// +optional
	Path string `json:"path,omitempty"`
}

// NodePortExposure is a port of every node.
type NodePortExposure struct {
	// Port is that of the nodes; 0 lets Kubernetes choose one.
	// +kubebuilder:validation:XValidation:rule="self == 0 || self >= 30000 && self <= 32767",message="a port of the nodes is between 30000 and 32767, or 0 to have one chosen"
	// +optional
	Port int32 `json:"port,omitempty"`
}

// Need is a service that must be there.
type Need struct {
	// Service is its name in this environment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Service string `json:"service"`
}

// State is how an application is, in one word.
// +kubebuilder:validation:Enum=Ready;Progressing;Degraded;Stopped
type State string

// The states of an application.
const (
	StateReady       State = "Ready"
	StateProgressing State = "Progressing"
	StateDegraded    State = "Degraded"
	StateStopped     State = "Stopped"
)

// ApplicationStatus is what the controller has found.
type ApplicationStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	State State `json:"state,omitempty"`
	// Reason is the one cause, in a word for programs; empty when it is Ready.
	// +optional
	Reason string `json:"reason,omitempty"`
	// Message is the same for people.
	// +optional
	Message string `json:"message,omitempty"`
	// Ready is how many of the wanted replicas are, such as 2/2.
	// +optional
	Ready string `json:"ready,omitempty"`
	// +listType=map
	// +listMapKey=name
	// +optional
	Components []ComponentStatus `json:"components,omitempty"`
	// Beside is how the release beside it is.
	// +optional
	Beside *BesideStatus `json:"beside,omitempty"`
	// URLs are where it is reached from outside.
	// +optional
	URLs []string `json:"urls,omitempty"`
	// Objects are all that have been made for it, as KIND/NAME.
	// +optional
	Objects []string `json:"objects,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ComponentStatus is how a component is.
type ComponentStatus struct {
	Name  string `json:"name"`
	Image string `json:"image"`
	// Wanted, Updated and Ready are numbers of replicas: asked for, of the newest kind, and answering.
	Wanted  int32 `json:"wanted"`
	Updated int32 `json:"updated"`
	Ready   int32 `json:"ready"`
}

// ApplicationList is a list of applications.
// +kubebuilder:object:root=true
type ApplicationList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Application `json:"items"`
}
