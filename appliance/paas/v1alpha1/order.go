package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ReleaseOrder asks for a release in the environment that it is in, and is the record of how that went.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=order,categories=islet
// +kubebuilder:selectablefield:JSONPath=`.spec.application`
// +kubebuilder:printcolumn:name="Release",type=string,JSONPath=`.spec.release`
// +kubebuilder:printcolumn:name="Author",type=string,JSONPath=`.spec.author`
// +kubebuilder:printcolumn:name="Phase",type=string,JSONPath=`.status.phase`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ReleaseOrder struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec OrderSpec `json:"spec"`
	// +optional
	Status OrderStatus `json:"status,omitempty"`
}

// OrderSpec is what is asked for, and what people have said to it.
//
// +kubebuilder:validation:XValidation:rule="self.release == oldSelf.release && self.application == oldSelf.application && self.author == oldSelf.author && has(self.rollbackOf) == has(oldSelf.rollbackOf) && has(self.strategy) == has(oldSelf.strategy) && (!has(self.strategy) || self.strategy == oldSelf.strategy)",message="what an order asks for never changes: make another one"
// +kubebuilder:validation:XValidation:rule="oldSelf.approvals.all(a, self.approvals.exists(b, b == a))",message="an approval cannot be taken back or changed: abandon the order"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.refusal) || has(self.refusal) && self.refusal == oldSelf.refusal",message="a refusal cannot be taken back: make another order"
// +kubebuilder:validation:XValidation:rule="!has(oldSelf.abandoned) || !oldSelf.abandoned || has(self.abandoned) && self.abandoned",message="an order that is abandoned stays so: make another one"
type OrderSpec struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	Application string `json:"application"`
	// Release by its name, APPLICATION-VERSION.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Release string `json:"release"`
	// Author is who makes the order, as the Kubernetes API knows the user.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Author string `json:"author"`
	// Start is the earliest time at which it is carried out; unset is as soon as it may.
	// +optional
	Start *metav1.Time `json:"start,omitempty"`
	// VerifySeconds is how long the application must be well before the order is done; 0 is 10.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	VerifySeconds int32 `json:"verifySeconds,omitempty"`
	// TimeoutSeconds is how long the rollout may take before it is undone; 0 is 600. A time in which it is paused does not count.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
	// Strategy is how the release takes its place; unset is Rolling.
	// +optional
	Strategy *Strategy `json:"strategy,omitempty"`
	// MaxErrorPercent is how many of 100 requests that the gateway sends to the new release may be answered with 500 or more; one more takes the order back.
	// Unset: they are not counted.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	MaxErrorPercent *int32 `json:"maxErrorPercent,omitempty"`
	// RollbackOf names the order that this one undoes. It goes back to a release that was carried out here before, so it needs neither
	// approval nor soak, and no freeze holds it up.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	RollbackOf string `json:"rollbackOf,omitempty"`
	// +listType=map
	// +listMapKey=by
	// +kubebuilder:validation:MaxItems=20
	// +kubebuilder:default={}
	Approvals []Opinion `json:"approvals"`
	// +optional
	Refusal *Opinion `json:"refusal,omitempty"`
	// Paused orders go no further.
	// +optional
	Paused bool `json:"paused,omitempty"`
	// Abandoned orders end; one that runs is rolled back.
	// +optional
	Abandoned bool `json:"abandoned,omitempty"`
}

// Opinion is what somebody says of an order.
type Opinion struct {
	// By is the user, as the Kubernetes API knows them; nobody can speak for somebody else.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	By string `json:"by"`
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Comment string `json:"comment,omitempty"`
}

// Phase is how far an order has come.
// +kubebuilder:validation:Enum=Draft;Checked;PendingApproval;Approved;Refused;Waiting;Running;Verifying;Done;Failed;RollingBack;RolledBack;Abandoned
type Phase string

// The phases. Done, Refused, RolledBack and Abandoned are ends.
const (
	PhaseDraft       Phase = "Draft"
	PhaseChecked     Phase = "Checked"
	PhasePending     Phase = "PendingApproval"
	PhaseApproved    Phase = "Approved"
	PhaseRefused     Phase = "Refused"
	PhaseWaiting     Phase = "Waiting"
	PhaseRunning     Phase = "Running"
	PhaseVerifying   Phase = "Verifying"
	PhaseDone        Phase = "Done"
	PhaseFailed      Phase = "Failed"
	PhaseRollingBack Phase = "RollingBack"
	PhaseRolledBack  Phase = "RolledBack"
	PhaseAbandoned   Phase = "Abandoned"
)

// Ended says that nothing more becomes of the order.
func (p Phase) Ended() bool {
	return p == PhaseDone || p == PhaseRefused || p == PhaseRolledBack || p == PhaseAbandoned
}

// Active says that the order is changing its application.
func (p Phase) Active() bool {
	return p == PhaseRunning || p == PhaseVerifying || p == PhaseFailed || p == PhaseRollingBack
}

// OrderStatus is how far it has come. The controller goes on from here, whenever it was stopped.
type OrderStatus struct {
	// +optional
	Phase Phase `json:"phase,omitempty"`
	// Message says why, or what it waits for.
	// +optional
	Message string `json:"message,omitempty"`
	// Since is when it came to this phase.
	// +optional
	Since *metav1.Time `json:"since,omitempty"`
	// Content is a hash of what the release consists of, taken when the order was checked.
	// +optional
	Content string `json:"content,omitempty"`
	// Before is what was in the application when the order began; unset if there was none.
	// +optional
	Before *ApplicationTemplate `json:"before,omitempty"`
	// PreviousRelease is the name of the release that was there.
	// +optional
	PreviousRelease string `json:"previousRelease,omitempty"`
	// Colour is that of the application when the order began.
	// +optional
	Colour Colour `json:"colour,omitempty"`
	// Step is which of the strategy's steps it is at, counted from 1.
	// +optional
	Step int32 `json:"step,omitempty"`
	// StepSince is when that step began to hold.
	// +optional
	StepSince *metav1.Time `json:"stepSince,omitempty"`
	// Traffic is what the gateway had sent to the new release when the step began.
	// +optional
	Traffic *Traffic `json:"traffic,omitempty"`
	// Hooks of the release that have run or do.
	// +listType=map
	// +listMapKey=name
	// +optional
	Hooks []HookStatus `json:"hooks,omitempty"`
	// Failure is why it is rolled back.
	// +optional
	Failure string `json:"failure,omitempty"`
	// +kubebuilder:validation:MaxItems=50
	// +optional
	History []OrderEvent `json:"history,omitempty"`
}

// Traffic is a number of requests, since the gateways began to count.
type Traffic struct {
	Requests int64 `json:"requests"`
	// Errors are those that were answered with 500 or more.
	Errors int64 `json:"errors"`
}

// HookStatus is how a hook went.
type HookStatus struct {
	Name string `json:"name"`
	// Job that runs it.
	Job string `json:"job"`
	// ServiceEnding is what the names of the new release's services end in.
	// +optional
	ServiceEnding string `json:"serviceEnding,omitempty"`
	// +optional
	Done bool `json:"done,omitempty"`
	// Message is what the last run that failed has said.
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Message string `json:"message,omitempty"`
}

// OrderEvent is a phase that the order came to.
type OrderEvent struct {
	At    metav1.Time `json:"at"`
	Phase Phase       `json:"phase"`
	// +optional
	Message string `json:"message,omitempty"`
}

// ReleaseOrderList is a list of orders.
// +kubebuilder:object:root=true
type ReleaseOrderList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ReleaseOrder `json:"items"`
}
