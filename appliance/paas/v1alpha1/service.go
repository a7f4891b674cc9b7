package v1alpha1

import (
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ServiceClass is a service that the site offers to its tenants, such as Redis, with the plans by which one can have it.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=islet
// +kubebuilder:printcolumn:name="Title",type=string,JSONPath=`.spec.title`
// +kubebuilder:printcolumn:name="Version",type=string,JSONPath=`.spec.version`
// +kubebuilder:printcolumn:name="Plans",type=string,JSONPath=`.spec.plans[*].name`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
type ServiceClass struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ServiceClassSpec `json:"spec"`
}

// Engine is what the platform knows how to run as a service.
// +kubebuilder:validation:Enum=Redis;PostgreSQL
type Engine string

// The engines.
const (
	EngineRedis      Engine = "Redis"
	EnginePostgreSQL Engine = "PostgreSQL"
)

// ServiceClassSpec is what a service is.
type ServiceClassSpec struct {
	// Title and Description are for people.
	// +kubebuilder:validation:MaxLength=100
	Title string `json:"title"`
	// +kubebuilder:validation:MaxLength=1000
	// +optional
	Description string `json:"description,omitempty"`
	Engine      Engine `json:"engine"`
	// Version of what runs.
	// +kubebuilder:validation:MaxLength=50
	Version string `json:"version"`
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=name
	Plans []ServicePlan `json:"plans"`
}

// Plan of that name; nil if there is none.
func (s *ServiceClassSpec) Plan(name string) *ServicePlan {
	for i := range s.Plans {
		if s.Plans[i].Name == name {
			return &s.Plans[i]
		}
	}
	return nil
}

// ServicePlan is one way to have a service.
type ServicePlan struct {
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=20
	Name string `json:"name"`
	// +kubebuilder:validation:MaxLength=500
	// +optional
	Description string `json:"description,omitempty"`
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^@[:space:]]+@sha256:[0-9a-f]{64}$')",message="an image is named by its digest, as NAME@sha256:...: what a tag stands for may change"
	Image string `json:"image"`
	// Replicas that hold the same data. Only 1 is known so far.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=1
	Replicas int32 `json:"replicas"`
	// Memory is what an instance may use.
	Memory resource.Quantity `json:"memory"`
	// CPU is what an instance is promised; it may use more.
	CPU resource.Quantity `json:"cpu"`
	// Size of an instance's volume, where it does not ask for another.
	Size resource.Quantity `json:"size"`
	// StorageClass; empty is the site's default.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	StorageClass string `json:"storageClass,omitempty"`
}

// ServiceClassList is a list of classes.
// +kubebuilder:object:root=true
type ServiceClassList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceClass `json:"items"`
}

// ServiceInstance is a service of the catalogue that an environment has. Its volume stays when it is removed.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=svci,categories=islet
// +kubebuilder:printcolumn:name="Class",type=string,JSONPath=`.spec.class`
// +kubebuilder:printcolumn:name="Plan",type=string,JSONPath=`.spec.plan`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 30 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",message="a service's name has at most 30 characters, a to z, 0 to 9 and -, and begins with a letter: it is a host name"
type ServiceInstance struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ServiceInstanceSpec `json:"spec"`
	// +optional
	Status ServiceInstanceStatus `json:"status,omitempty"`
}

// ServiceInstanceSpec is what an instance is to be.
//
// +kubebuilder:validation:XValidation:rule="has(self.size) == has(oldSelf.size) && (!has(self.size) || quantity(self.size).compareTo(quantity(oldSelf.size)) == 0)",message="the size of an instance cannot be changed: make another one"
type ServiceInstanceSpec struct {
	// Class is the name of a ServiceClass.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an instance cannot become another service: make another one"
	Class string `json:"class"`
	// Plan of the class.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=20
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="an instance stays on its plan: make another one"
	Plan string `json:"plan"`
	// Size of its volume; unset is the plan's.
	// +kubebuilder:validation:XValidation:rule="quantity(string(self)).isGreaterThan(quantity('0'))",message="a volume has a size above 0"
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
}

// ServiceInstanceStatus is what the controller has found.
type ServiceInstanceStatus struct {
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
	// Version of what runs.
	// +optional
	Version string `json:"version,omitempty"`
	// Host and Port are where it answers, for the environment's applications.
	// +optional
	Host string `json:"host,omitempty"`
	// +optional
	Port int32 `json:"port,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ServiceInstanceList is a list of instances.
// +kubebuilder:object:root=true
type ServiceInstanceList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceInstance `json:"items"`
}

// ServiceBinding lets applications use an instance: a Secret of the binding's name says where it is and how to log in. The
// keys are the same whatever the service.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=svcb,categories=islet
// +kubebuilder:printcolumn:name="Instance",type=string,JSONPath=`.spec.instance`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Secret",type=string,JSONPath=`.status.secret`
// +kubebuilder:printcolumn:name="Why",type=string,JSONPath=`.status.message`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="self.metadata.name.size() <= 63",message="a binding's name has at most 63 characters"
type ServiceBinding struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	Spec ServiceBindingSpec `json:"spec"`
	// +optional
	Status ServiceBindingStatus `json:"status,omitempty"`
}

// ServiceBindingSpec is what is bound.
type ServiceBindingSpec struct {
	// Instance is the name of a ServiceInstance in the same environment.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=30
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a binding stays with its instance: make another one"
	Instance string `json:"instance"`
}

// The keys of a binding's Secret. KeyDatabase is there where the service has databases with names.
const (
	KeyHost     = "host"
	KeyPort     = "port"
	KeyUser     = "user"
	KeyPassword = "password"
	KeyDatabase = "database"
	KeyURI      = "uri"
)

// ServiceBindingStatus is what the controller has found.
type ServiceBindingStatus struct {
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// +optional
	State State `json:"state,omitempty"`
	// +optional
	Reason string `json:"reason,omitempty"`
	// +optional
	Message string `json:"message,omitempty"`
	// Secret is the name of the Secret; empty while there is none.
	// +optional
	Secret string `json:"secret,omitempty"`
	// +listType=map
	// +listMapKey=type
	// +optional
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// ServiceBindingList is a list of bindings.
// +kubebuilder:object:root=true
type ServiceBindingList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ServiceBinding `json:"items"`
}

// LabelService is the label of what the controllers make for an instance: its name. LabelBinding is that of a binding's Secret.
const (
	LabelService = "islet.dev/service"
	LabelBinding = "islet.dev/binding"
)
