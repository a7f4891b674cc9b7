package cli

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"islet/appliance/config"
	"islet/appliance/kubelet"
)

// Flags win over the answer file, which wins over the defaults.
func TestJoinOwn(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "press.yaml")
	content := "apiVersion: " + config.APIVersion + "\nkind: " + config.Kind + `
node: {name: press2, address: 192.0.2.12, labels: {example.com/hall: "3", example.com/rack: "1"}, taints: ["only=presses:NoSchedule"]}
kubelet: {maxPods: 20}
`
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		flags  joinFlags
		node   string
		ip     string
		labels map[string]string
		pods   int
	}{
		"nothing given": {joinFlags{}, "", "invalid IP", map[string]string{}, config.Default().Kubelet.MaxPods},
		"a file":        {joinFlags{config: file}, "press2", "192.0.2.12", map[string]string{"example.com/hall": "3", "example.com/rack": "1"}, 20},
		"both": {
			joinFlags{config: file, name: "press3", address: "192.0.2.13", pool: "presses", labels: map[string]string{"example.com/rack": "2"}},
			"press3", "192.0.2.13", map[string]string{"example.com/hall": "3", "example.com/rack": "2", kubelet.PoolLabel: "presses"}, 20,
		},
	} {
		own, err := c.flags.own()
		if err != nil {
			t.Fatal(err)
		}
		if own.Node.Name != c.node || own.Node.Address.String() != c.ip || !maps.Equal(own.Node.Labels, c.labels) || own.Kubelet.MaxPods != c.pods {
			t.Errorf("%s: %+v, %d pods", name, own.Node, own.Kubelet.MaxPods)
		}
		if (len(own.Node.Taints) == 1) != (c.flags.config != "") {
			t.Errorf("%s: taints %v", name, own.Node.Taints)
		}
	}
	if _, err := (&joinFlags{address: "here"}).own(); CodeOf(err) != CodeUsage {
		t.Errorf("an address that is none: %v", err)
	}
	if _, err := (&joinFlags{config: file + ".not"}).own(); CodeOf(err) != CodeNoFile {
		t.Errorf("a file that is not there: %v", err)
	}
}

func TestJoinWithOwn(t *testing.T) {
	t.Parallel()
	site, own := config.Default(), config.Default()
	site.Site.Name, own.Site.Name = "plant", "elsewhere"
	own.Kubelet.MaxPods, own.Paths.StateDir = 20, "/data/islet"
	c, err := withOwn(site, own)
	if err != nil || c.Site.Name != "plant" || c.Kubelet.MaxPods != 20 || c.Paths.StateDir != "/data/islet" {
		t.Errorf("%+v, %v", c, err)
	}
	// Right with the volumes' reserve of the own file, too much for the site's.
	own.Storage.MinFree, own.Kubelet.Eviction.Disk = 4*site.Storage.MinFree, 2*site.Storage.MinFree
	if _, err := own.Validate(); err != nil {
		t.Fatal(err)
	}
	if _, err := withOwn(site, own); err == nil {
		t.Error("two files that do not go together are taken")
	}
}
