package server

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	kjson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"

	"islet/appliance/addon"
	"islet/appliance/config"
	"islet/bundle"
	"islet/bundle/trust"
)

func TestAddonValues(t *testing.T) {
	t.Parallel()
	c := config.Default()
	d := config.Derived{Address: netip.MustParseAddr("192.0.2.11"), ClusterDNS: netip.MustParseAddr("10.43.0.10"), Domain: "apps.site.internal"}
	got := addonValues(c, d, []byte("PEM"))
	for name, want := range map[string]string{
		"SITE_NAME": "site", "NODE_ADDRESS": "192.0.2.11", "CLUSTER_DOMAIN": "cluster.local", "CLUSTER_DNS": "10.43.0.10", "CLUSTER_CA_BASE64": "UEVN",
		"APP_DOMAIN": "apps.site.internal", "HTTP_PORT": "80", "HTTPS_PORT": "443", "GATEWAY_BIND": "", "STORAGE_PATH": c.StoragePath(),
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	c.Gateway.Bind = netip.MustParseAddr("192.0.2.80")
	if got := addonValues(c, d, nil); got["GATEWAY_BIND"] != ", hostIP: 192.0.2.80" || got["CLUSTER_CA_BASE64"] != "" {
		t.Errorf("%q", got)
	}
}

func TestDNSUpstream(t *testing.T) {
	t.Parallel()
	c := config.Default()
	if got := dnsUpstream(c); got != "file /etc/coredns/nothing.zone ." {
		t.Errorf("without servers: %q", got)
	}
	c.Network.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}
	if got := dnsUpstream(c); got != "forward . 192.0.2.53 2001:db8::53" {
		t.Errorf("%q", got)
	}
}

// sources are the manifests of this tree, as the image builder would pack them.
func sources(t *testing.T) []addon.Component {
	t.Helper()
	files, err := filepath.Glob("../../images/manifests/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no manifests (%v)", err)
	}
	variable := regexp.MustCompile(`\$\{IMAGE_([A-Z0-9_]+)\}`)
	var out []addon.Component
	for _, path := range files {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		images := map[string]string{}
		for _, m := range variable.FindAllStringSubmatch(string(content), -1) {
			images[strings.ToLower(m[1])] = "islet.internal/x:1@sha256:" + strings.Repeat("0", 64)
		}
		out = append(out, addon.Component{Name: path, Files: []addon.File{{Name: filepath.Base(path), Content: content}}, Images: images})
	}
	return out
}

// Each manifest must be what its kind says: a field with a typing error is dropped by the API server
// without a word. Kinds that Kubernetes itself does not have are left to the end-to-end tests.
func TestManifestsHaveNoUnknownFields(t *testing.T) {
	t.Parallel()
	c := config.Default()
	address := netip.MustParseAddr("192.0.2.11")
	values := addonValues(c, config.Derived{Address: address, ClusterDNS: address, Domain: "apps.site.internal"}, nil)
	decoder := kjson.NewSerializerWithOptions(kjson.DefaultMetaFactory, clientgoscheme.Scheme, clientgoscheme.Scheme, kjson.SerializerOptions{Strict: true})
	checked := 0
	for _, component := range sources(t) {
		objects, err := component.Render(values)
		if err != nil {
			t.Errorf("%s: %v", component.Name, err)
		}
		for _, object := range objects {
			if !clientgoscheme.Scheme.Recognizes(object.GroupVersionKind()) {
				continue
			}
			checked++
			if err := strict(decoder, object); err != nil {
				t.Errorf("%s: %s %s: %v", component.Name, object.GetKind(), object.GetName(), err)
			}
		}
	}
	if checked < 30 {
		t.Errorf("only %d objects were checked", checked)
	}
	wrong := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service", "metadata": map[string]any{"name": "x"}, "spec": map[string]any{"clusterIp": "None"},
	}}
	if err := strict(decoder, wrong); err == nil {
		t.Error("a field that does not exist passes")
	}
}

func strict(decoder runtime.Decoder, object *unstructured.Unstructured) error {
	data, err := object.MarshalJSON()
	if err != nil {
		return err
	}
	_, _, err = decoder.Decode(data, nil, nil)
	return err
}

// LESSONS 3: what the platform applies asks only for images that the bundle has, by digest.
func TestBuiltBundleHasEveryImage(t *testing.T) {
	t.Parallel()
	path := os.Getenv("APPLIANCE")
	if path == "" {
		path = "../../build/appliance"
	}
	b, err := bundle.Open(path, trust.NewSet().Lenient())
	if errors.Is(err, os.ErrNotExist) {
		t.Skipf("no appliance in %s: run `make bundle`, or set APPLIANCE", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := CheckAddons(t.Context(), b); err != nil {
		t.Error(err)
	}
	components, err := addon.Load(t.Context(), b)
	if err != nil || len(components) < 5 {
		t.Errorf("%d add-ons (%v)", len(components), err)
	}
	// The check is not blind: without its images the same bundle fails.
	objects, err := Render(t.Context(), config.Default(), t.TempDir(), b, "coredns")
	if err != nil {
		t.Skipf("this machine cannot be a node: %v", err)
	}
	if err := (addon.Images{}).Check(objects); !errors.Is(err, addon.ErrImage) {
		t.Errorf("%v", err)
	}
	if _, err := Render(t.Context(), config.Default(), t.TempDir(), b, "none"); !errors.Is(err, ErrNoAddon) {
		t.Errorf("%v", err)
	}
}
