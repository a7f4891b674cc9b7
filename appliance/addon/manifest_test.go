package addon

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

const reference = "islet.internal/dns:1.15.0@sha256:5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03"

func component(text string) Component {
	return Component{Name: "test", Files: []File{{Name: "a.yaml", Content: []byte(text)}}, Images: map[string]string{"core-dns.v1": reference}}
}

const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: c\ndata:\n"

func TestRenderFillsIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"value":                    {"  x: ${DOMAIN}", "apps.example"},
		"value inside a text":      {"  x: a-${DOMAIN}-${DOMAIN}-b", "a-apps.example-apps.example-b"},
		"empty value":              {"  x: '${EMPTY}'", ""},
		"image":                    {"  x: ${IMAGE_CORE_DNS_V1}", reference},
		"Kubernetes' own variable": {"  x: $(POD_IP) $$(X) $HOME", "$(POD_IP) $$(X) $HOME"},
		"lower case":               {"  x: ${domain} ${a.b}", "${domain} ${a.b}"},
		"value is not filled in":   {"  x: ${TRICKY}", "${DOMAIN}"},
	} {
		objects, err := component(configMap + c.text).Render(map[string]string{"DOMAIN": "apps.example", "EMPTY": "", "TRICKY": "${DOMAIN}"})
		if err != nil || len(objects) != 1 {
			t.Errorf("%s: %v (%v)", name, objects, err)
			continue
		}
		if got := objects[0].Object["data"].(map[string]any)["x"]; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestRenderKeepsTheOrderOfDocuments(t *testing.T) {
	t.Parallel()
	c := component("# first\n---\n" + configMap + "---\n---\n# only a comment\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: s}\n")
	c.Files = append(c.Files, File{Name: "b.yaml", Content: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: t}")})
	objects, err := c.Render(nil)
	var kinds []string
	for _, o := range objects {
		kinds = append(kinds, o.GetKind())
	}
	if got := strings.Join(kinds, " "); err != nil || got != "ConfigMap Secret Service" {
		t.Errorf("%s (%v)", got, err)
	}
}

func TestRenderRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"unknown variables": {configMap + "  x: ${B} ${A} ${A} ${DOMAIN}", "a.yaml: no such variable: A, B"},
		"unknown image":     {configMap + "  x: ${IMAGE_OTHER}", "a.yaml: no such variable: IMAGE_OTHER"},
		"no YAML":           {"a: b: c", "a.yaml: document 1: "},
		"key twice":         {configMap + "  x: a\n  x: b", `already set in map`},
		"no kind":           {"apiVersion: v1\nmetadata: {name: x}", "an object needs an apiVersion, a kind and a name"},
		"no name":           {configMap + "---\napiVersion: v1\nkind: Secret", "document 2: an object needs"},
		"a list":            {"- a", "a.yaml: document 1: "},
	} {
		if _, err := component(c.text).Render(map[string]string{"DOMAIN": "x"}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if _, err := component("${A}").Render(nil); !errors.Is(err, ErrUnknownVariable) {
		t.Errorf("%v", err)
	}
}

// manifests adds an add-on as the image builder packs it.
func manifests(t *testing.T, l *bundletest.Layout, name string, images any, files ...string) {
	t.Helper()
	var layers []v1.Descriptor
	add := func(title string, content []byte) {
		layer := l.Blob("application/yaml", content)
		layer.Annotations = map[string]string{v1.AnnotationTitle: title}
		layers = append(layers, layer)
	}
	for i, text := range files {
		add(string(rune('a'+i))+".yaml", []byte(text))
	}
	list, ok := images.(string)
	if !ok {
		encoded, err := json.Marshal(images)
		if err != nil {
			t.Fatal(err)
		}
		list = string(encoded)
	}
	add(imagesFile, []byte(list))
	l.List(l.Artifact(bundle.ArtifactTypeManifests, nil, layers...), map[string]string{
		bundle.AnnotationComponentKind: string(bundle.KindManifest), bundle.AnnotationComponentName: name, bundle.AnnotationVersion: "v1",
	})
}

func read(t *testing.T, l *bundletest.Layout) *bundle.Reader {
	t.Helper()
	key, private := bundletest.Key("addon test", trust.Release)
	options := bundletest.Options(l)
	options.Signers = []ed25519.PrivateKey{private}
	return bundletest.Open(t, bundletest.Bytes(t, options), key)
}

func TestLoad(t *testing.T) {
	t.Parallel()
	l := bundletest.NewLayout(t)
	l.Image("islet.internal/dns:1", "1", []byte("not an add-on"))
	manifests(t, l, "dns", map[string]string{"dns": reference}, "one", "two")
	manifests(t, l, "another", map[string]string{})
	got, err := Load(t.Context(), read(t, l))
	if err != nil || len(got) != 2 || got[0].Name != "another" || got[1].Name != "dns" {
		t.Fatalf("%+v (%v)", got, err)
	}
	dns := got[1]
	if dns.Version != "v1" || !strings.HasPrefix(dns.Digest, "sha256:") || dns.Images["dns"] != reference || len(dns.Files) != 2 ||
		dns.Files[0].Name != "a.yaml" || string(dns.Files[1].Content) != "two" {
		t.Errorf("%+v", dns)
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	for name, images := range map[string]string{"no JSON": "{", "no strings": `{"dns": 1}`, "no map": `["dns"]`} {
		l := bundletest.NewLayout(t)
		manifests(t, l, "dns", images)
		if _, err := Load(t.Context(), read(t, l)); err == nil || !strings.Contains(err.Error(), "add-on dns: decode images.json") {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := bundletest.NewLayout(t)
	manifests(t, l, "huge", map[string]string{}, strings.Repeat("#", manifestLimit+1))
	if _, err := Load(t.Context(), read(t, l)); !errors.Is(err, bundle.ErrOversized) {
		t.Errorf("an oversized file: %v", err)
	}
}

// What a bundle brings from outside never panics, and what comes out has what an object needs.
func FuzzRender(f *testing.F) {
	f.Add(configMap+"  x: ${IMAGE_DNS}\n", `{"dns":"`+reference+`"}`)
	f.Add("---\n---\n# x\n---\nkind: [", `{"":""}`)
	f.Add("a: &a [*a]", "null")
	f.Add("apiVersion: v1\nkind: List\nmetadata: {name: 1}\nitems: 3", `{"a":"${X}"}`)
	f.Fuzz(func(t *testing.T, text, images string) {
		c := component(text)
		if json.Unmarshal([]byte(images), &c.Images) != nil {
			return
		}
		objects, err := c.Render(map[string]string{"X": "${X}"})
		if err != nil {
			return
		}
		for _, o := range objects {
			if o.GetKind() == "" || o.GetName() == "" || o.GetAPIVersion() == "" {
				t.Errorf("%+v", o)
			}
		}
		_ = Images{}.Check(objects)
		_ = IDs(objects)
	})
}
