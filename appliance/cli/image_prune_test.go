package cli

import (
	"context"
	"encoding/json"
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"islet/appliance/kube/client/fake"
	"islet/appliance/registry/content"
)

// shelf is a repository of images that are made for a test.
type shelf struct {
	t      *testing.T
	raw    map[string][]byte
	record content.Repository
}

func (s *shelf) Manifest(_ context.Context, _, reference string) (raw []byte, mediaType string, err error) {
	return s.raw[reference], s.record.Manifests[digest.Digest(reference)].MediaType, nil
}

// add puts a manifest on the shelf.
func (s *shelf) add(mediaType string, manifest any, tags ...string) v1.Descriptor {
	s.t.Helper()
	raw, err := json.Marshal(manifest)
	if err != nil {
		s.t.Fatal(err)
	}
	d := digest.FromBytes(raw)
	s.raw[d.String()] = raw
	s.record.Manifests[d] = content.Manifest{MediaType: mediaType}
	for _, tag := range tags {
		s.record.Tags[tag] = content.Tag{Digest: d}
	}
	return v1.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(raw))}
}

func (s *shelf) image(text string, subject *v1.Descriptor, tags ...string) v1.Descriptor {
	s.t.Helper()
	return s.add(v1.MediaTypeImageManifest, v1.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageManifest, Subject: subject,
		Config: v1.Descriptor{MediaType: v1.MediaTypeImageConfig, Digest: digest.FromString(text)},
	}, tags...)
}

func TestUnusedImages(t *testing.T) {
	t.Parallel()
	const name = "shop.example/team/shop"
	s := &shelf{t, map[string][]byte{}, content.Repository{Manifests: map[digest.Digest]content.Manifest{}, Tags: map[string]content.Tag{}}}
	byTag, byDigest, unused := s.image("1", nil, "v1", "latest"), s.image("2", nil, "v2"), s.image("3", nil, "v3")
	untagged := s.image("4", nil)
	signed, signedUnused := s.image("5", &byTag), s.image("6", &unused)
	part, partUnused := s.image("7", nil), s.image("8", nil)
	index := func(child v1.Descriptor) v1.Index {
		return v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{child}}
	}
	whole, wholeUnused := s.add(v1.MediaTypeImageIndex, index(part), "multi"), s.add(v1.MediaTypeImageIndex, index(partUnused), "old")
	used := usage{name: map[string]bool{name + ":v1": true, name + ":multi": true, name + ":none": true}, digest: map[string]bool{byDigest.Digest.String(): true}}
	list, err := unusedIn(t.Context(), s, name, s.record, used)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range list {
		got = append(got, u.Digest)
	}
	for what, want := range map[string]struct {
		d    v1.Descriptor
		gone bool
	}{
		"named by its tag": {byTag, false}, "named by its digest": {byDigest, false}, "named by nobody": {unused, true}, "without a tag": {untagged, true},
		"signature of a used one": {signed, false}, "signature of an unused one": {signedUnused, true}, "part of a used index": {part, false},
		"part of an unused index": {partUnused, true}, "used index": {whole, false}, "unused index": {wholeUnused, true},
	} {
		if slices.Contains(got, want.d.Digest.String()) != want.gone {
			t.Errorf("%s: goes %t, want %t", what, !want.gone, want.gone)
		}
	}
}

func TestUsedImages(t *testing.T) {
	t.Parallel()
	spec := func(image string) corev1.PodSpec {
		return corev1.PodSpec{Containers: []corev1.Container{{Image: image}}}
	}
	template := func(image string) corev1.PodTemplateSpec { return corev1.PodTemplateSpec{Spec: spec(image)} }
	meta := metav1.ObjectMeta{Name: "x", Namespace: "default"}
	running := digest.FromString("running").String()
	client := fake.New(
		&corev1.Pod{ObjectMeta: meta, Spec: spec("nginx"), Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{ImageID: "docker.io/library/nginx@" + running}}}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: template("192.0.2.1:5000/team/shop:2")}},
		&appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Template: template("registry.islet.internal/team/shop:1")}},
		&appsv1.ControllerRevision{ObjectMeta: meta, Data: runtime.RawExtension{Raw: []byte(`{"spec":{"template":{"spec":{"containers":[{"image":"team/db:1"}]}}}}`)}},
	)
	used, err := cluster{client: client}.usedImages(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"docker.io/library/nginx:latest", "registry.islet.internal/team/shop:1", "registry.islet.internal/team/shop:2", "docker.io/team/db:1"} {
		if !used.name[name] {
			t.Errorf("%s is missing in %v", name, used.name)
		}
	}
	if len(used.name) != 4 || !used.digest[running] || len(used.digest) != 1 {
		t.Errorf("%+v", used)
	}
}
