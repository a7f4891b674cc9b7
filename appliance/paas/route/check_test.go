package route

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// sound is a site of one rule, its service, two pods on two nodes and their endpoints.
func sound() *Site {
	s := &Site{
		Rules: []Rule{{Kind: "HTTPRoute", Namespace: "a", Name: "web", Targets: []Target{{Namespace: "a", Service: "web", Port: 80}}}},
		Services: []corev1.Service{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web"},
			Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
		}},
		Slices: []discoveryv1.EndpointSlice{{ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: "web-x", Labels: map[string]string{serviceLabel: "web"}}}},
		Pods:   []corev1.Pod{podOf("web-1", "10.42.0.1", "node1"), podOf("web-2", "10.42.1.1", "node2")},
		Dead:   map[string]string{},
	}
	for _, p := range s.Pods {
		s.Slices[0].Endpoints = append(s.Slices[0].Endpoints, discoveryv1.Endpoint{
			Addresses: []string{p.Status.PodIP}, Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
			TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: "a", Name: p.Name, UID: p.UID},
		})
	}
	return s
}

func podOf(name, ip, node string) corev1.Pod {
	return corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "a", Name: name, UID: types.UID(name), Labels: map[string]string{"app": "web"}},
		Spec:       corev1.PodSpec{NodeName: node},
		Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, Conditions: []corev1.PodCondition{
			{Type: corev1.PodReady, Status: corev1.ConditionTrue},
		}},
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	const web, pod1 = "HTTPRoute a/web: ", "Pod a/web-1: "
	unready := func(s *Site, i int) {
		s.Pods[i].Status.Conditions[0].Status = corev1.ConditionFalse
		s.Slices[0].Endpoints[i].Conditions.Ready = new(false)
	}
	for name, c := range map[string]struct {
		change func(s *Site)
		want   []string // as "code subject: detail"
		remedy []bool
	}{
		"all is well":         {change: func(*Site) {}},
		"one pod starts":      {change: func(s *Site) { unready(s, 0) }},
		"nothing is there":    {change: func(s *Site) { *s = Site{} }},
		"no rule":             {change: func(s *Site) { s.Rules, s.Slices = nil, nil }},
		"a name for the port": {change: func(s *Site) { s.Rules[0].Targets[0] = Target{Namespace: "a", Service: "web", PortName: "http"} }},
		"another's name":      {change: func(s *Site) { s.Services[0].Spec.Type, s.Slices, s.Pods = corev1.ServiceTypeExternalName, nil, nil }},
		"tells of all pods": {change: func(s *Site) {
			s.Services[0].Spec.PublishNotReadyAddresses = true
			s.Dead["node1"] = "it does not answer"
		}},
		"no service": {
			change: func(s *Site) { s.Services, s.Slices = nil, nil },
			want:   []string{NoService + " " + web + "it sends requests to service a/web, which does not exist"}, remedy: []bool{false},
		},
		"no such port": {
			change: func(s *Site) { s.Rules[0].Targets[0].Port = 81 },
			want:   []string{NoService + " " + web + "it sends requests to port 81 of service a/web, which has no such port"}, remedy: []bool{false},
		},
		"dead pods": {
			change: func(s *Site) { s.Pods = nil },
			want: []string{
				NoPod + " EndpointSlice a/web-x: 10.42.0.1 is the address of pod web-1, which is gone",
				NoPod + " EndpointSlice a/web-x: 10.42.1.1 is the address of pod web-2, which is gone",
			}, remedy: []bool{true, true},
		},
		"a pod made anew": {
			change: func(s *Site) { s.Pods[0].UID = "another" },
			want:   []string{NoPod + " EndpointSlice a/web-x: 10.42.0.1 is the address of pod web-1, which is gone"}, remedy: []bool{true},
		},
		"a pod that has ended": {
			change: func(s *Site) { s.Pods[0].Status.Phase = corev1.PodFailed },
			want:   []string{NoPod + " EndpointSlice a/web-x: 10.42.0.1 is the address of pod web-1, which has ended"}, remedy: []bool{true},
		},
		"no pods": {
			change: func(s *Site) { s.Pods, s.Slices = nil, nil },
			want:   []string{NoPods + " " + web + "service a/web has no pod: every request fails"}, remedy: []bool{false},
		},
		"none is ready": {
			change: func(s *Site) { unready(s, 0); unready(s, 1) },
			want:   []string{NotReady + " " + web + "none of the 2 pods of service a/web is ready: every request fails"}, remedy: []bool{false},
		},
		"not among the endpoints": {
			change: func(s *Site) { s.Slices[0].Endpoints = s.Slices[0].Endpoints[1:] },
			want:   []string{NoRule + " " + pod1 + "it is ready, but not among the endpoints of service a/web: no rule leads to it"}, remedy: []bool{true},
		},
		"a dead node": {
			change: func(s *Site) { s.Dead["node1"] = "it does not answer" },
			want:   []string{DeadNode + " " + pod1 + "it gets requests at 10.42.0.1 on node node1: it does not answer"}, remedy: []bool{true},
		},
		"a dead node, which was said of the pod": {change: func(s *Site) { s.Dead["node1"] = "it does not answer"; unready(s, 0) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := sound()
			c.change(s)
			var got []string
			var remedy []bool
			for _, f := range check(*s) {
				got, remedy = append(got, f.Code+" "+f.Subject+": "+f.Detail), append(remedy, f.repair != nil && f.Remedy != "")
			}
			if !slices.Equal(got, c.want) || !slices.Equal(remedy, c.remedy) {
				t.Errorf("%q %v, want %q %v", got, remedy, c.want, c.remedy)
			}
		})
	}
}
