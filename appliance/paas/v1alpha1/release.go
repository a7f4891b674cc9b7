package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
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
	// Hooks are programs that run once in each order, one after the other.
	// +kubebuilder:validation:MaxItems=10
	// +listType=map
	// +listMapKey=name
	// +optional
	Hooks []Hook `json:"hooks,omitempty"`
}

// Hook is a program that an order runs in a pod of its own. When it fails, the order goes back.
type Hook struct {
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=20
	Name string `json:"name"`
	// When it runs: Before anything is changed, as migrations of data do, or to Verify the new release when it is ready, before the order is
	// done. With the strategies BlueGreen and AB that is before it gets any request.
	// +kubebuilder:validation:Enum=Before;Verify
	When string `json:"when"`
	// Image by its digest; empty is that of the first component.
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[^@[:space:]]+@sha256:[0-9a-f]{64}$')",message="an image is named by its digest, as NAME@sha256:...: what a tag stands for may change; `appliance image list` has the digests"
	// +optional
	Image string `json:"image,omitempty"`
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Command []string `json:"command,omitempty"`
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Args []string `json:"args,omitempty"`
	// Env besides SERVICE_ENDING, which is what the names of the new release's services end in: -beside while another one answers, or nothing.
	// +kubebuilder:validation:MaxItems=200
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
	// RunAsUser is the number of the user that runs it; 0 is the image's own, which must not be root.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RunAsUser int64 `json:"runAsUser,omitempty"`
	// Retries of a run that has failed or was cut off; a program that runs again must find its way. Unset is 3: in its first seconds the
	// connections of a new pod may still be refused.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	// +optional
	Retries *int32 `json:"retries,omitempty"`
	// TimeoutSeconds is how long it may take, with all retries; 0 is 300.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=86400
	// +optional
	TimeoutSeconds int32 `json:"timeoutSeconds,omitempty"`
}

// When hooks run.
const (
	HookBefore = "Before"
	HookVerify = "Verify"
)

// ReleaseList is a list of releases.
// +kubebuilder:object:root=true
type ReleaseList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Release `json:"items"`
}
