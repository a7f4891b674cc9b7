// Package application brings applications about: the Kubernetes objects that one consists of, and how it is.
package application

import (
	"cmp"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// Managed is the value of the label tenancy.Managed on what belongs to an application.
const Managed = "application"

// Place is what an environment says of the applications in it.
type Place struct {
	Namespace string
	// Domain that host names end in.
	Domain      string
	MinReplicas int32
	// NodePool of the nodes to run on; empty is any.
	NodePool string
}

// PlaceOf is that of an environment on a site with a domain.
func PlaceOf(e *v1alpha1.Environment, site string) Place {
	return Place{Namespace: e.Name, Domain: tenancy.Domain(e, site), MinReplicas: e.Rules().MinReplicas, NodePool: e.Spec.NodePool}
}

// Name is that of a component's workload and service.
func Name(a *v1alpha1.Application, component string) string {
	if component == a.Name {
		return a.Name
	}
	return a.Name + "-" + component
}

// Replicas is how many a component is to have.
func Replicas(a *v1alpha1.Application, c *v1alpha1.Component, p Place) int32 {
	switch {
	case a.Spec.Stopped:
		return 0
	case c.Replicas != nil:
		return *c.Replicas
	}
	return p.MinReplicas
}

// Render makes all objects of an application, in the order in which they need each other. Volumes that stay are among them: they
// are made, and never removed.
func Render(a *v1alpha1.Application, p Place) []client.Object {
	out := workloads(a, p)
	if b := Beside(a); b != nil {
		out = append(out, besideOnly(out, workloads(b, p))...)
	}
	return append(out, exposures(a, p)...)
}

// workloads are the components with what each needs.
func workloads(a *v1alpha1.Application, p Place) []client.Object {
	var out []client.Object
	for i := range a.Spec.Components {
		c := &a.Spec.Components[i]
		out = append(out, claims(a, c, p)...)
		if s := service(a, c, p); s != nil {
			out = append(out, s)
		}
		if n := Replicas(a, c, p); n >= 2 {
			out = append(out, budget(a, c, p))
		}
		if c.Stateful() {
			out = append(out, statefulSet(a, c, p))
		} else {
			out = append(out, deployment(a, c, p))
		}
	}
	return out
}

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

// labels of everything that belongs to a component; those of its pods, too.
func labels(a *v1alpha1.Application, component string) map[string]string {
	out := map[string]string{tenancy.Managed: Managed, v1alpha1.LabelApplication: a.Name}
	if component != "" {
		out[v1alpha1.LabelComponent] = component
	}
	return out
}

func meta(a *v1alpha1.Application, p Place, name, component string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: p.Namespace, Name: name, Labels: labels(a, component)}
}

// selector finds the pods of a component. It can never be changed.
func selector(a *v1alpha1.Application, c *v1alpha1.Component) map[string]string {
	out := map[string]string{v1alpha1.LabelApplication: a.Name, v1alpha1.LabelComponent: c.Name}
	if !c.Stateful() {
		out[v1alpha1.LabelColour] = strings.ToLower(string(colour(a)))
	}
	return out
}

// historyLimit is how many former kinds of pods Kubernetes keeps; orders know what was before.
const historyLimit = 2

func deployment(a *v1alpha1.Application, c *v1alpha1.Component, p Place) client.Object {
	none, one := intstr.FromInt32(0), intstr.FromInt32(1)
	return &appsv1.Deployment{TypeMeta: kind("apps/v1", "Deployment"), ObjectMeta: meta(a, p, workload(a, c), c.Name), Spec: appsv1.DeploymentSpec{
		Replicas: new(Replicas(a, c, p)), Selector: &metav1.LabelSelector{MatchLabels: selector(a, c)}, Template: pods(a, c, p),
		// a new pod is ready before an old one ends: a release that cannot run takes nothing away
		Strategy:             appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &none, MaxSurge: &one}},
		RevisionHistoryLimit: new(int32(historyLimit)), ProgressDeadlineSeconds: new(c.Start() + progressMargin), Paused: a.Spec.Paused,
	}}
}

// progressMargin is what a rollout gets besides the time that a pod may take, in seconds.
const progressMargin = 60

func statefulSet(a *v1alpha1.Application, c *v1alpha1.Component, p Place) client.Object {
	s := &appsv1.StatefulSet{TypeMeta: kind("apps/v1", "StatefulSet"), ObjectMeta: meta(a, p, Name(a, c.Name), c.Name), Spec: appsv1.StatefulSetSpec{
		Replicas: new(Replicas(a, c, p)), Selector: &metav1.LabelSelector{MatchLabels: selector(a, c)}, Template: pods(a, c, p), ServiceName: Name(a, c.Name),
		PodManagementPolicy: appsv1.OrderedReadyPodManagement, RevisionHistoryLimit: new(int32(historyLimit)),
		UpdateStrategy: appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
	}}
	for _, v := range c.Volumes {
		if v.Claim != nil {
			s.Spec.VolumeClaimTemplates = append(s.Spec.VolumeClaimTemplates, corev1.PersistentVolumeClaim{TypeMeta: kind("v1", "PersistentVolumeClaim"),
				ObjectMeta: metav1.ObjectMeta{Name: v.Name, Labels: labels(a, c.Name)}, Spec: claimSpec(v.Claim)})
		}
	}
	return s
}

// claims are the volumes that the pods of a stateless component share.
func claims(a *v1alpha1.Application, c *v1alpha1.Component, p Place) []client.Object {
	var out []client.Object
	for _, v := range c.Volumes {
		if v.Claim != nil && !c.Stateful() {
			out = append(out, &corev1.PersistentVolumeClaim{TypeMeta: kind("v1", "PersistentVolumeClaim"), ObjectMeta: meta(a, p, claimName(a, c, v.Name), c.Name), Spec: claimSpec(v.Claim)})
		}
	}
	return out
}

func claimName(a *v1alpha1.Application, c *v1alpha1.Component, volume string) string {
	return Name(a, c.Name) + "-" + volume
}

func claimSpec(c *v1alpha1.Claim) corev1.PersistentVolumeClaimSpec {
	spec := corev1.PersistentVolumeClaimSpec{AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}}
	spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: c.Size}
	if c.StorageClass != "" {
		spec.StorageClassName = &c.StorageClass
	}
	return spec
}

// service of a component; nil if it has no port. Pods of a stateful one have names of their own beneath it.
func service(a *v1alpha1.Application, c *v1alpha1.Component, p Place) client.Object {
	s := &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: meta(a, p, Name(a, c.Name), c.Name), Spec: corev1.ServiceSpec{Selector: selector(a, c)}}
	for _, port := range c.Ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: port.Name, Port: cmp.Or(port.Service, port.Port), TargetPort: intstr.FromString(port.Name),
			Protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP)})
	}
	switch {
	case c.Stateful():
		s.Spec.ClusterIP = corev1.ClusterIPNone
	case len(c.Ports) == 0:
		return nil
	}
	return s
}

// budget lets a node be emptied one pod after the other.
func budget(a *v1alpha1.Application, c *v1alpha1.Component, p Place) client.Object {
	one := intstr.FromInt32(1)
	always := policyv1.AlwaysAllow
	return &policyv1.PodDisruptionBudget{TypeMeta: kind("policy/v1", "PodDisruptionBudget"), ObjectMeta: meta(a, p, workload(a, c), c.Name), Spec: policyv1.PodDisruptionBudgetSpec{
		MaxUnavailable: &one, Selector: &metav1.LabelSelector{MatchLabels: selector(a, c)}, UnhealthyPodEvictionPolicy: &always,
	}}
}
