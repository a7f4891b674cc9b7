package route

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"islet/appliance/paas/v1alpha1"
)

// The kinds of findings.
const (
	NoService    = "rule-without-service"
	NoPods       = "rule-without-pods"
	NotReady     = "rule-without-ready-pods"
	NoRule       = "pod-without-rule"
	NoPod        = "endpoint-without-pod"
	DeadNode     = "endpoint-on-dead-node"
	serviceLabel = discoveryv1.LabelServiceName
)

// Site is all that is compared, at one moment.
type Site struct {
	Rules    []Rule
	Services []corev1.Service
	Slices   []discoveryv1.EndpointSlice
	Pods     []corev1.Pod
	Dead     map[string]string // why a node is taken for dead
}

// found is a finding with what its remedy needs.
type found struct {
	v1alpha1.Finding
	repair action
}

// view is a site that is asked for its parts by name.
type view struct {
	Site
	services map[types.NamespacedName]*corev1.Service
	pods     map[types.NamespacedName]*corev1.Pod
	slices   map[types.NamespacedName][]*discoveryv1.EndpointSlice // by service
	out      []found
}

// check compares all. The findings are in the order of their subjects.
func check(s Site) []found {
	v := &view{
		Site: s, services: map[types.NamespacedName]*corev1.Service{}, pods: map[types.NamespacedName]*corev1.Pod{},
		slices: map[types.NamespacedName][]*discoveryv1.EndpointSlice{},
	}
	for i := range s.Services {
		v.services[nameOf(&s.Services[i])] = &s.Services[i]
	}
	for i := range s.Pods {
		v.pods[nameOf(&s.Pods[i])] = &s.Pods[i]
	}
	for i := range s.Slices {
		slice := &s.Slices[i]
		of := types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[serviceLabel]}
		v.slices[of] = append(v.slices[of], slice)
	}
	v.endpoints()
	aimed := map[types.NamespacedName]bool{}
	for _, r := range s.Rules {
		for _, t := range r.Targets {
			aimed[types.NamespacedName{Namespace: t.Namespace, Name: t.Service}] = true
			v.target(r, t)
		}
	}
	for name := range aimed {
		v.missing(name)
	}
	slices.SortFunc(v.out, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Code, b.Code), cmp.Compare(a.Detail, b.Detail))
	})
	return slices.CompactFunc(v.out, func(a, b found) bool { return a.Finding == b.Finding })
}

type named interface {
	GetNamespace() string
	GetName() string
}

func nameOf(o named) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

func (v *view) find(code, subject, detail, remedy string, repair action) {
	v.out = append(v.out, found{v1alpha1.Finding{Code: code, Subject: subject, Detail: detail, Remedy: remedy}, repair})
}

// endpoints looks whether behind each endpoint that gets requests there is a pod on a machine that lives.
func (v *view) endpoints() {
	for i := range v.Slices {
		slice := &v.Slices[i]
		if s := v.services[types.NamespacedName{Namespace: slice.Namespace, Name: slice.Labels[serviceLabel]}]; s != nil && s.Spec.PublishNotReadyAddresses {
			continue // it is told of all its pods, whatever they are
		}
		for _, e := range slice.Endpoints {
			if e.TargetRef == nil || e.TargetRef.Kind != "Pod" || !serves(e) {
				continue
			}
			pod := v.pods[types.NamespacedName{Namespace: slice.Namespace, Name: e.TargetRef.Name}]
			subject := fmt.Sprintf("EndpointSlice %s/%s", slice.Namespace, slice.Name)
			switch {
			case pod == nil || e.TargetRef.UID != "" && pod.UID != e.TargetRef.UID:
				v.find(NoPod, subject, fmt.Sprintf("%s is the address of pod %s, which is gone", e.Addresses[0], e.TargetRef.Name),
					"take the address out", dropEndpoint{nameOf(slice), e.Addresses[0]})
			case ended(pod):
				v.find(NoPod, subject, fmt.Sprintf("%s is the address of pod %s, which has ended", e.Addresses[0], pod.Name),
					"take the address out", dropEndpoint{nameOf(slice), e.Addresses[0]})
			case v.Dead[pod.Spec.NodeName] != "":
				v.find(DeadNode, fmt.Sprintf("Pod %s/%s", pod.Namespace, pod.Name),
					fmt.Sprintf("it gets requests at %s on node %s: %s", e.Addresses[0], pod.Spec.NodeName, v.Dead[pod.Spec.NodeName]),
					"say of the pod that it is not ready, so that no request goes there", unready{nameOf(pod), pod.Spec.NodeName})
			}
		}
	}
}

// serves says whether requests go to an endpoint. What is not said counts as ready.
func serves(e discoveryv1.Endpoint) bool {
	return len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready)
}

func ended(p *corev1.Pod) bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// target follows a rule to its pods.
func (v *view) target(r Rule, t Target) {
	name := types.NamespacedName{Namespace: t.Namespace, Name: t.Service}
	s := v.services[name]
	if s == nil {
		v.find(NoService, r.String(), fmt.Sprintf("it sends requests to service %s, which does not exist", name), "", nil)
		return
	}
	if t.PortName != "" || t.Port != 0 {
		if !slices.ContainsFunc(s.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == t.Port || t.PortName != "" && p.Name == t.PortName }) {
			v.find(NoService, r.String(), fmt.Sprintf("it sends requests to port %s of service %s, which has no such port", t.port(), name), "", nil)
			return
		}
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName || slices.ContainsFunc(v.slices[name], func(e *discoveryv1.EndpointSlice) bool { return slices.ContainsFunc(e.Endpoints, serves) }) {
		return
	}
	pods := v.selected(s)
	if len(pods) == 0 {
		v.find(NoPods, r.String(), fmt.Sprintf("service %s has no pod: every request fails", name), "", nil)
		return
	}
	if !slices.ContainsFunc(pods, isReady) {
		v.find(NotReady, r.String(), fmt.Sprintf("none of the %d pods of service %s is ready: every request fails", len(pods), name), "", nil)
	}
}

// missing looks for pods that are ready and that a rule is for, but that get no request.
func (v *view) missing(name types.NamespacedName) {
	s := v.services[name]
	if s == nil {
		return
	}
	known := map[string]bool{}
	for _, slice := range v.slices[name] {
		for _, e := range slice.Endpoints {
			for _, a := range e.Addresses {
				known[a] = true
			}
		}
	}
	for _, p := range v.selected(s) {
		if isReady(p) && p.Status.PodIP != "" && !known[p.Status.PodIP] && v.Dead[p.Spec.NodeName] == "" {
			v.find(NoRule, fmt.Sprintf("Pod %s/%s", p.Namespace, p.Name), fmt.Sprintf("it is ready, but not among the endpoints of service %s: no rule leads to it", name),
				"have the endpoints of the service made anew", touch{name})
		}
	}
}

// selected are the pods of a service that have not ended.
func (v *view) selected(s *corev1.Service) []*corev1.Pod {
	if len(s.Spec.Selector) == 0 {
		return nil
	}
	var out []*corev1.Pod
	selector := labels.SelectorFromSet(s.Spec.Selector)
	for i := range v.Pods {
		p := &v.Pods[i]
		if p.Namespace == s.Namespace && selector.Matches(labels.Set(p.Labels)) && !ended(p) {
			out = append(out, p)
		}
	}
	return out
}

// isReady says whether a pod is to get requests.
func isReady(p *corev1.Pod) bool {
	return p.DeletionTimestamp == nil && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}
