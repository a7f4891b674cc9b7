package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// HealthReport says what is wrong with a part of the site that Kubernetes itself does not look at as a whole. RoutesReport is the one
// that there is.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=islet
// +kubebuilder:printcolumn:name="Repair",type=string,JSONPath=`.spec.repair`
// +kubebuilder:printcolumn:name="Findings",type=integer,JSONPath=`.status.count`
// +kubebuilder:printcolumn:name="First",type=string,JSONPath=`.status.findings[0].subject`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.findings[0].detail`
type HealthReport struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec HealthReportSpec `json:"spec,omitempty"`
	// +optional
	Status HealthReportStatus `json:"status,omitempty"`
}

// RoutesReport is the report on ways from outside to pods: rules, services, endpoints, pods and nodes.
const RoutesReport = "routes"

// Repair says who repairs what can be repaired.
// +kubebuilder:validation:Enum=Automatic;Asked
type Repair string

// The ways to repair: by itself, or when RepairAsked says so.
const (
	RepairAutomatic Repair = "Automatic"
	RepairAsked     Repair = "Asked"
)

// HealthReportSpec is what is done about findings.
type HealthReportSpec struct {
	// +kubebuilder:default=Automatic
	// +optional
	Repair Repair `json:"repair,omitempty"`
	// RepairAsked has everything repaired once that can be and was found before this time.
	// +optional
	RepairAsked *metav1.Time `json:"repairAsked,omitempty"`
}

// HealthReportStatus is what was found, now and lately.
type HealthReportStatus struct {
	// Count is the number of findings, also of those that are too many to list.
	Count int32 `json:"count"`
	// +kubebuilder:validation:MaxItems=100
	// +listType=atomic
	// +optional
	Findings []Finding `json:"findings,omitempty"`
	// Repaired are the last repairs, the newest first.
	// +kubebuilder:validation:MaxItems=20
	// +listType=atomic
	// +optional
	Repaired []Repaired `json:"repaired,omitempty"`
}

// Finding is something that does not fit together.
type Finding struct {
	// Code names what kind of thing is wrong.
	Code string `json:"code"`
	// Subject is the object, as KIND NAMESPACE/NAME.
	Subject string `json:"subject"`
	Detail  string `json:"detail"`
	// Remedy is what a repair would do; empty where somebody has to decide.
	// +optional
	Remedy string      `json:"remedy,omitempty"`
	Since  metav1.Time `json:"since"`
}

// Repaired is a repair that was made.
type Repaired struct {
	Finding Finding     `json:"finding"`
	At      metav1.Time `json:"at"`
	// Error is why it could not be done.
	// +optional
	Error string `json:"error,omitempty"`
}

// HealthReportList is a list of reports.
// +kubebuilder:object:root=true
type HealthReportList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []HealthReport `json:"items"`
}
