package v1alpha1

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// Component is one kind of container of an application.
//
// +kubebuilder:validation:XValidation:rule="(has(self.kind) && self.kind == 'Stateful') == (has(oldSelf.kind) && oldSelf.kind == 'Stateful')",message="a component stays stateful or stateless: name another one"
type Component struct {
	// Name is part of that of the component's service: APPLICATION-NAME, or APPLICATION where both are the same.
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=20
	Name string `json:"name"`
	// Image is named by its digest: what a tag stands for may change.
	// +kubebuilder:validation:MaxLength=300
	// +kubebuilder:validation:XValidation:rule="self.matches('^[^@[:space:]]+@sha256:[0-9a-f]{64}$')",message="an image is named by its digest, as NAME@sha256:...: what a tag stands for may change; `appliance image list` has the digests"
	Image string `json:"image"`
	// Kind is Stateless, the default, or Stateful: pods with names and volumes of their own, that start one after the other.
	// +kubebuilder:validation:Enum=Stateless;Stateful
	// +optional
	Kind string `json:"kind,omitempty"`
	// Replicas; unset is the least that the environment's class allows.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=500
	// +optional
	Replicas *int32 `json:"replicas,omitempty"`
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Command []string `json:"command,omitempty"`
	// +kubebuilder:validation:MaxItems=100
	// +optional
	Args []string `json:"args,omitempty"`
	// +kubebuilder:validation:MaxItems=200
	// +optional
	Env []corev1.EnvVar `json:"env,omitempty"`
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=name
	// +optional
	Ports []Port `json:"ports,omitempty"`
	// Readiness decides whether a pod is sent requests, Liveness whether it is started anew.
	// +optional
	Readiness *Probe `json:"readiness,omitempty"`
	// +optional
	Liveness *Probe `json:"liveness,omitempty"`
	// StartSeconds is how long a pod may take until it is ready; after that it is said to fail. 0 is 60.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +optional
	StartSeconds int32 `json:"startSeconds,omitempty"`
	// +optional
	Resources corev1.ResourceRequirements `json:"resources,omitempty"`
	// +kubebuilder:validation:MaxItems=20
	// +listType=map
	// +listMapKey=name
	// +optional
	Volumes []Volume `json:"volumes,omitempty"`
	// LogFiles are paths in the container that the application logs to, besides its standard output.
	// +kubebuilder:validation:MaxItems=20
	// +optional
	LogFiles []string `json:"logFiles,omitempty"`
	// RunAsUser is the number of the user that runs it; 0 is the image's own, which must not be root.
	// +kubebuilder:validation:Minimum=0
	// +optional
	RunAsUser int64 `json:"runAsUser,omitempty"`
	// ReadOnlyRoot keeps it from writing anywhere but to its volumes.
	// +optional
	ReadOnlyRoot bool `json:"readOnlyRoot,omitempty"`
}

// KindStateful is the kind of components with pods that have names and volumes of their own.
const KindStateful = "Stateful"

// Stateful says whether its pods have names and volumes of their own.
func (c *Component) Stateful() bool { return c.Kind == KindStateful }

// Start is how long a pod may take until it is ready, in seconds.
func (c *Component) Start() int32 {
	if c.StartSeconds > 0 {
		return c.StartSeconds
	}
	return 60
}

// Port that a component listens on.
type Port struct {
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=15
	Name string `json:"name"`
	// Port in the container.
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port"`
	// Service is the port of the component's service; 0 is the same.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	// +optional
	Service int32 `json:"service,omitempty"`
	// +kubebuilder:validation:Enum=TCP;UDP
	// +optional
	Protocol corev1.Protocol `json:"protocol,omitempty"`
}

// Probe asks a container how it is: by HTTP, by a command, or else by connecting to a port.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.http) && has(self.command))",message="a probe is either http or a command"
type Probe struct {
	// HTTP is the path that is asked for; 200 to 399 is well.
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=200
	// +optional
	HTTP string `json:"http,omitempty"`
	// Command that ends with 0 when all is well.
	// +kubebuilder:validation:MaxItems=50
	// +optional
	Command []string `json:"command,omitempty"`
	// Port by its name; empty is the first.
	// +kubebuilder:validation:MaxLength=15
	// +optional
	Port string `json:"port,omitempty"`
	// EverySeconds is 5 unless it is set, AfterSeconds 0, Failures in a row 3.
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +optional
	EverySeconds int32 `json:"everySeconds,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=3600
	// +optional
	AfterSeconds int32 `json:"afterSeconds,omitempty"`
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	// +optional
	Failures int32 `json:"failures,omitempty"`
}

// Volume is a folder in the container: one that stays, one that ends with the pod, or configuration.
//
// +kubebuilder:validation:XValidation:rule="[has(self.claim), has(self.empty), has(self.config), has(self.secret)].filter(x, x).size() == 1",message="a volume is one of claim, empty, config and secret"
type Volume struct {
	// +kubebuilder:validation:Pattern=`^[a-z]([-a-z0-9]*[a-z0-9])?$`
	// +kubebuilder:validation:MaxLength=20
	Name string `json:"name"`
	// +kubebuilder:validation:Pattern=`^/`
	// +kubebuilder:validation:MaxLength=300
	MountPath string `json:"mountPath"`
	// +optional
	ReadOnly bool `json:"readOnly,omitempty"`
	// Claim stays when the application is changed, stopped or removed. Each pod of a stateful component has one of its own; the pods of
	// a stateless one share one.
	// +optional
	Claim *Claim `json:"claim,omitempty"`
	// +optional
	Empty *Empty `json:"empty,omitempty"`
	// Config is the name of a ConfigMap in the environment, whose entries become files.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Config string `json:"config,omitempty"`
	// Secret is the name of a Secret in the environment, whose entries become files.
	// +kubebuilder:validation:MaxLength=253
	// +optional
	Secret string `json:"secret,omitempty"`
}

// Claim asks for a volume that stays.
type Claim struct {
	Size resource.Quantity `json:"size"`
	// StorageClass; empty is the site's default.
	// +kubebuilder:validation:MaxLength=63
	// +optional
	StorageClass string `json:"storageClass,omitempty"`
}

// Empty is a folder that ends with the pod.
type Empty struct {
	// Size that it may have; unset is unbounded.
	// +optional
	Size *resource.Quantity `json:"size,omitempty"`
	// Memory holds it instead of the disk.
	// +optional
	Memory bool `json:"memory,omitempty"`
}
