package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Tenant is a team, customer or department with environments of its own, that others cannot see, reach or exhaust.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,categories=islet
// +kubebuilder:printcolumn:name="Environments",type=integer,JSONPath=`.status.environments`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 20 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="a tenant's name has at most 20 characters, a to z, 0 to 9 and -, and begins with a letter: it is part of host names"
type Tenant struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// +optional
	Spec TenantSpec `json:"spec,omitempty"`
	// +optional
	Status TenantStatus `json:"status,omitempty"`
}

// TenantSpec is what a tenant may do and use.
type TenantSpec struct {
	// DisplayName is for people.
	// +kubebuilder:validation:MaxLength=100
	// +optional
	DisplayName string `json:"displayName,omitempty"`
	// Members may do in all of the tenant's environments what their role allows.
	// +kubebuilder:validation:MaxItems=200
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +optional
	Members []Member `json:"members,omitempty"`
	// Quota bounds the sum of the quotas of all environments. What is not named is not bounded.
	// +optional
	Quota corev1.ResourceList `json:"quota,omitempty"`
	// NodePools are those that environments may ask for; none means any.
	// +kubebuilder:validation:MaxItems=50
	// +listType=set
	// +optional
	NodePools []string `json:"nodePools,omitempty"`
}

// Role is what a member may do.
// +kubebuilder:validation:Enum=owner;deployer;viewer;auditor
type Role string

// The roles: an owner may also say who else is let at an environment's objects, a deployer changes what runs, a viewer reads all
// but secrets, an auditor reads what is recorded.
const (
	RoleOwner    Role = "owner"
	RoleDeployer Role = "deployer"
	RoleViewer   Role = "viewer"
	RoleAuditor  Role = "auditor"
)

// Member is a user or a group, as the Kubernetes API knows them.
type Member struct {
	// +kubebuilder:validation:Enum=User;Group
	// +kubebuilder:default=User
	Kind string `json:"kind"`
	// Names that Kubernetes itself uses stand for its own components, and for everybody.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=100
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('system:') && !self.startsWith('islet:')",message="names that begin with system: or islet: are those of programs, not of members"
	Name string `json:"name"`
	Role Role   `json:"role"`
}

// TenantStatus is what the controller has found.
type TenantStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// Environments is how many there are.
	Environments int32 `json:"environments"`
	// Granted is the sum of the environments' quotas.
	// +optional
	Granted corev1.ResourceList `json:"granted,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// TenantList is a list of tenants.
// +kubebuilder:object:root=true
type TenantList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Tenant `json:"items"`
}
