package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Environment is a place where a tenant's applications run: a namespace with its rules. Its name is TENANT-NAME, which is the
// namespace's, too.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:scope=Cluster,shortName=env,categories=islet
// +kubebuilder:printcolumn:name="Tenant",type=string,JSONPath=`.spec.tenant`
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.class`
// +kubebuilder:printcolumn:name="Order",type=integer,JSONPath=`.spec.order`
// +kubebuilder:printcolumn:name="Domain",type=string,JSONPath=`.status.domain`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Why",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name == self.spec.tenant + '-' + self.spec.name",message="an environment is named after its tenant and itself: TENANT-NAME"
type Environment struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec EnvironmentSpec `json:"spec"`
	// +optional
	Status EnvironmentStatus `json:"status,omitempty"`
}

// Class says how careful one has to be.
// +kubebuilder:validation:Enum=dev;test;release;prod
type Class string

// The classes, in the order in which a release goes through them.
const (
	ClassDev     Class = "dev"
	ClassTest    Class = "test"
	ClassRelease Class = "release"
	ClassProd    Class = "prod"
)

// EnvironmentSpec is what an environment is to be.
//
// +kubebuilder:validation:XValidation:rule="self.class != 'prod' || !has(self.policy) || !has(self.policy.minReplicas) || self.policy.minReplicas == 0 || self.policy.minReplicas >= 2",message="an environment of class prod runs at least 2 replicas of everything: policy.minReplicas must not be below 2"
// +kubebuilder:validation:XValidation:rule="self.class == oldSelf.class || oldSelf.class != 'prod'",message="an environment of class prod stays one: make another environment"
type EnvironmentSpec struct {
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an environment cannot be given to another tenant"
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	Tenant string `json:"tenant"`
	// Name is unique within the tenant, and part of host names.
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an environment cannot be renamed"
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=20
	Name  string `json:"name"`
	Class Class  `json:"class"`
	// Order is the place in the line in which releases are promoted, the lowest first. 0 is that of the class: dev 10, test 20,
	// release 30, prod 40.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=1000
	// +optional
	Order int32 `json:"order,omitempty"`
	// Quota bounds what runs here. What is not named is not bounded, unless the tenant's quota names it.
	// +optional
	Quota corev1.ResourceList `json:"quota,omitempty"`
	// Container is what a container gets that says nothing for itself: requests and limits.
	// +optional
	Container *ContainerDefaults `json:"container,omitempty"`
	// NodePool is the value of the label node.islet.dev/pool of the nodes that applications run on; empty means any.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	NodePool string `json:"nodePool,omitempty"`
	// Domain is what the names of applications end in; empty means NAME.TENANT.SITE-DOMAIN.
	// +kubebuilder:validation:MaxLength=200
	// +kubebuilder:validation:Pattern=`^([a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`
	// +optional
	Domain string `json:"domain,omitempty"`
	// +optional
	Policy EnvironmentPolicy `json:"policy,omitempty"`
}

// ContainerDefaults are the values of a LimitRange.
type ContainerDefaults struct {
	// +optional
	Requests corev1.ResourceList `json:"requests,omitempty"`
	// +optional
	Limits corev1.ResourceList `json:"limits,omitempty"`
}

// Exec is what becomes of a shell in a container.
// +kubebuilder:validation:Enum=Allowed;Refused
type Exec string

// What may be done about a shell in a container.
const (
	ExecAllowed Exec = "Allowed"
	ExecRefused Exec = "Refused"
)

// EnvironmentPolicy are the rules that the platform enforces here, whoever asks and by whatever tool.
type EnvironmentPolicy struct {
	// MinReplicas of everything that runs; a stopped application has none. 0 is that of the class: dev 1, others 2.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	MinReplicas *int32 `json:"minReplicas,omitempty"`
	// Approvals is how many people must agree to a release order, not counting who made it. Unset is that of the class: prod 1,
	// others 0.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10
	// +optional
	Approvals *int32 `json:"approvals,omitempty"`
	// Soak is how long a release must have run in the environment before this one.
	// +optional
	Soak metav1.Duration `json:"soak,omitempty"`
	// Exec is what becomes of a shell in a container. Empty is that of the class: prod Refused, others Allowed.
	// +optional
	Exec Exec `json:"exec,omitempty"`
	// Freezes are times in which nothing is rolled out.
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Freezes []Freeze `json:"freezes,omitempty"`
}

// Freeze is a time in which nothing is rolled out.
//
// +kubebuilder:validation:XValidation:rule="self.from < self.to",message="a freeze ends after it begins"
type Freeze struct {
	From metav1.Time `json:"from"`
	To   metav1.Time `json:"to"`
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=200
	Reason string `json:"reason"`
}

// EnvironmentStatus is what the controller has found.
type EnvironmentStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	Domain string `json:"domain,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// EnvironmentList is a list of environments.
// +kubebuilder:object:root=true
type EnvironmentList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Environment `json:"items"`
}
