package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Group is the API group of the platform.
const Group = "islet.dev"

// GroupVersion is the group and version of these kinds.
var GroupVersion = schema.GroupVersion{Group: Group, Version: "v1alpha1"}

// AddToScheme makes the kinds known to a client.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion, &Tenant{}, &TenantList{}, &Environment{}, &EnvironmentList{}, &ConfigSet{}, &ConfigSetList{}, &HealthReport{}, &HealthReportList{},
		&Application{}, &ApplicationList{}, &Release{}, &ReleaseList{}, &ReleaseOrder{}, &ReleaseOrderList{},
		&ServiceClass{}, &ServiceClassList{}, &ServiceInstance{}, &ServiceInstanceList{}, &ServiceBinding{}, &ServiceBindingList{})
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}

// The conditions of a kind's status.
const (
	// ConditionReady says that what was asked for is there.
	ConditionReady = "Ready"
)

// Labels of what the controllers make for an application.
const (
	LabelApplication = "islet.dev/application"
	LabelComponent   = "islet.dev/component"
	// LabelColour tells pods of two releases of a stateless component apart.
	LabelColour = "islet.dev/colour"
)

// LabelPool is the label of a node that belongs to a pool.
const LabelPool = "node.islet.dev/pool"

// Labels of a namespace that belongs to an environment. Members of a tenant may not change namespaces, so policies and rules can
// rely on them.
const (
	LabelTenant      = "islet.dev/tenant"
	LabelEnvironment = "islet.dev/environment"
	LabelClass       = "islet.dev/class"
	LabelMinReplicas = "islet.dev/min-replicas"
	// LabelApprovals is there where release orders need any.
	LabelApprovals = "islet.dev/approvals"
)

// Labels of what is made of configuration: the layer that it is for, and the revision.
const (
	LabelConfig         = "islet.dev/config"
	LabelConfigRevision = "islet.dev/config-revision"
)
