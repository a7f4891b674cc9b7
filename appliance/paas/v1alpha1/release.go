package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Release is a version of an application: which images, by digest, and how they run. It never changes. It is made in the first
// environment of a tenant's line, and orders bring it to the others as it is.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=rel,categories=islet
// +kubebuilder:printcolumn:name="Application",type=string,JSONPath=`.spec.application`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Notes",type=string,priority=1,JSONPath=`.spec.notes`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.application + '-' + self.spec.version",message="a release is named after its application and version: APPLICATION-VERSION"
// +kubebuilder:validation:XValidation:rule="self.spec == oldSelf.spec",message="a release never changes: make another one"
type Release struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ReleaseSpec `json:"spec"`
}

// ReleaseSpec is what a release consists of.
type ReleaseSpec struct {
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	Application string `json:"application"`
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=30
	Version string `json:"version"`
	// Notes are for people.
	// +kubebuilder:validation:MaxLength=2000
	// +optional
	Notes string `json:"notes,omitempty"`
	// Template is what the application becomes. Replicas that it has in an environment already stay.
	Template ApplicationTemplate `json:"template"`
}

// ReleaseList is a list of releases.
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}
