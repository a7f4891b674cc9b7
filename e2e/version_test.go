package e2e

import (
	"regexp"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/api"
	"islet/appliance/component"
)

const (
	kubernetesVersion = "v1.36.3"
	containerdVersion = "containerd://2.3.7"
)

// versions looks at what the platform says of itself, on the command line and in the API.
func versions(t *testing.T, p *platform) {
	node, err := p.kube.CoreV1().Nodes().Get(t.Context(), p.host.Name(), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	info := node.Status.NodeInfo
	if info.KubeletVersion != kubernetesVersion || info.ContainerRuntimeVersion != containerdVersion {
		t.Errorf("node says %s, %s; want %s, %s", info.KubeletVersion, info.ContainerRuntimeVersion, kubernetesVersion, containerdVersion)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"kubectl", "version"}, `(?s)Client Version: v1\.36\.3\n.*Server Version: v1\.36\.3$`},
		{[]string{"kubectl", "get", "nodes", "-o", "wide"}, `(?m)^node1 +Ready +control-plane .* v1\.36\.3 .* containerd://2\.3\.7$`},
		{[]string{"version"}, `(?m)^engine +kube +v1\.36\.3 +sha256:`},
		{[]string{"status"}, `(?s)Node +node1 .*Nothing is wrong\.`},
		{[]string{"component", "events"}, `(?m) kubelet +ready`},
		{[]string{"image", "list"}, `(?m)^islet\.internal/system/pause:\S+ +sha256:\S+ +.* yes +yes$`},
		{[]string{"ctr", "version"}, `(?s)Client:.*Server:`},
		{[]string{"config", "validate", paths.Config()}, ``},
	} {
		out := p.run(t, append([]string{"appliance"}, test.args...)...)
		if !regexp.MustCompile(test.want).MatchString(out) {
			t.Errorf("appliance %v: no match for %s in:\n%s", test.args, test.want, out)
		}
	}
	p.machineReadable(t)
}

// machineReadable looks at the JSON that programs read.
func (p *platform) machineReadable(t *testing.T) {
	status := runJSON[api.Status](t, p, "status")
	if !status.Ready || status.Site != p.site || status.Node.Address != p.host.Addr().String() || len(status.Problems) != 0 {
		t.Errorf("status: %+v", status)
	}
	events := runJSON[[]component.Event](t, p, "component", "events")
	ready := map[string]bool{}
	for _, e := range events {
		if e.State == component.Ready {
			ready[e.Component] = true
		}
	}
	for _, c := range status.Components {
		if !ready[c.Name] {
			t.Errorf("the events do not say that %s became ready", c.Name)
		}
	}
}
