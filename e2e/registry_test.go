package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/registry"
	"islet/bundle"
	"islet/bundle/trust"
)

const (
	// uploadedImage is a name from elsewhere: it is never rewritten.
	uploadedImage = "shop.example/team/hello:1.4"
	archivePath   = "/root/hello.tar"
)

// TestRegistry brings an image to a server in a file and runs it on another machine.
func TestRegistry(t *testing.T) {
	t.Parallel()
	all := bootSite(t, "registry", 2)
	s := &plant{platform: all[0], agents: all[1:]}
	for _, part := range []struct {
		name string
		run  func(s *plant, t *testing.T)
	}{
		{"join", (*plant).joinAll},
		{"bad archives", (*plant).badArchives},
		{"upload and run", (*plant).uploadAndRun},
		{"runtime restarted", (*plant).runtimeRestarted},
		{"users", (*plant).registryUsers},
		{"server restarted", (*plant).registryRestarted},
		{"prune", (*plant).prune},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			defer func() {
				for _, p := range all {
					p.diagnose(t)
				}
			}()
			part.run(s, t)
		})
		if !ok {
			t.Fatal("the rest builds upon this")
		}
	}
}

// badArchives are refused before anything is sent.
func (s *plant) badArchives(t *testing.T) {
	good := dockerSave(t)
	for name, c := range map[string]struct {
		content []byte
		want    cli.Code
	}{
		"text":        {[]byte(strings.Repeat("hello, world\n", 100)), cli.CodeNotImage},
		"cut short":   {good[:len(good)/2], cli.CodeImageCut},
		"other bytes": {bytes.Replace(good, []byte("uploaded from a file"), []byte("uploaded from a fool"), 1), cli.CodeImageDamaged},
	} {
		if err := s.host.WriteFile(archivePath, c.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if code := s.exitCode(t, "image", "upload", archivePath); code != int(c.want) {
			t.Errorf("%s: exit code %d, want %d", name, code, c.want)
		}
	}
	if code := s.exitCode(t, "image", "upload", "/root/none"); code != int(cli.CodeNoFile) {
		t.Errorf("no file: exit code %d", code)
	}
	if code := s.agents[0].exitCode(t, "image", "upload", archivePath); code != int(cli.CodeNotServer) {
		t.Errorf("on an agent: exit code %d", code)
	}
}

type uploaded struct {
	Reference, Digest string
	Copies            int
}

// uploadAndRun runs a pod on the agent from an image that only the server's registry has.
func (s *plant) uploadAndRun(t *testing.T) {
	if err := s.host.WriteFile(archivePath, dockerSave(t), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	rows := runJSON[[]uploaded](t, s.platform, "image", "upload", archivePath)
	t.Logf("uploaded within %s: %+v", time.Since(begun).Round(time.Millisecond), rows)
	if len(rows) != 1 || rows[0].Reference != uploadedImage || rows[0].Copies != 1 {
		t.Fatalf("uploaded %+v", rows)
	}
	ns := s.namespace(t, "e2e-registry")
	for _, p := range []*platform{s.agents[0], s.platform} {
		name := "on-" + p.host.Name()
		begun := time.Now()
		pod := s.startPod(t, newPod(ns, name, func(pod *corev1.Pod) {
			pod.Spec.NodeName, pod.Spec.Containers[0].Image = p.host.Name(), uploadedImage
		}))
		t.Logf("%s is ready %s after it was made", name, time.Since(begun).Round(10*time.Millisecond))
		if id := pod.Status.ContainerStatuses[0].ImageID; !strings.HasSuffix(id, rows[0].Digest) {
			t.Errorf("%s runs %s, want %s", name, id, rows[0].Digest)
		}
		if err := s.reaches(t.Context(), pod, podURL(pod), name); err != nil {
			t.Error(err)
		}
	}
	// What nobody has is told at once, and nobody outside is asked.
	begun = time.Now()
	missing := newPod(ns, "missing", func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = "docker.io/library/none:1" })
	if _, err := s.kube.CoreV1().Pods(ns).Create(t.Context(), missing, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, 30*time.Second, "the missing image is told of", func(ctx context.Context) error {
		pod, err := s.kube.CoreV1().Pods(ns).Get(ctx, "missing", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if w := c.State.Waiting; w != nil && strings.Contains(w.Message, "not found") {
				return nil
			}
		}
		return fmt.Errorf("status %+v", pod.Status.ContainerStatuses)
	})
	t.Logf("a missing image is told of after %s", time.Since(begun).Round(10*time.Millisecond))
	if err := s.kube.CoreV1().Pods(ns).Delete(t.Context(), "missing", metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
}

// runtimeRestarted shows that a pulled image is known after a restart of the container runtime, whose store holds none of its
// layers: it must not take a server to start a container again.
func (s *plant) runtimeRestarted(t *testing.T) {
	agent := s.agents[0]
	before := agent.pids(t)
	agent.run(t, "appliance", "ctr", "content", "prune", "references") // which the runtime's collector does sooner or later
	agent.run(t, "appliance", "component", "restart", "containerd")
	await(t, readyLimit, "the agent is ready again", func(ctx context.Context) error {
		if agent.pids(t) == before {
			return errors.New("nothing was restarted yet")
		}
		return agent.ready(ctx)
	})
	ns := s.namespace(t, "e2e-present")
	s.startPod(t, newPod(ns, "present", func(pod *corev1.Pod) {
		pod.Spec.NodeName, pod.Spec.Containers[0].Image = agent.host.Name(), uploadedImage
	}))
	events, err := s.kube.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "reason=Pulled"})
	if err != nil || len(events.Items) != 1 || !strings.Contains(events.Items[0].Message, "already present on machine") {
		t.Errorf("events %+v (%v)", events.Items, err)
	}
}

// registryUsers lets a person in with a password, and out again.
func (s *plant) registryUsers(t *testing.T) {
	made := runJSON[struct{ Name, Password string }](t, s.platform, "registry", "user", "add", "ci", "--push")
	if code := s.exitCode(t, "registry", "user", "add", "ci"); code != int(cli.CodeExists) {
		t.Errorf("the same user again: exit code %d", code)
	}
	client := s.outside(t, registry.Port)
	get := func(ctx context.Context, password string) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://registry.islet.internal:%d/v2/_catalog", registry.Port), nil)
		if err != nil {
			return err
		}
		req.SetBasicAuth("ci", password)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode != http.StatusOK {
			err = errStatus(resp.StatusCode)
		}
		if err == nil && (!strings.Contains(string(body), "shop.example/team/hello") || !strings.Contains(string(body), "islet.internal/system/coredns")) {
			err = fmt.Errorf("the catalogue is %s", body)
		}
		return err
	}
	await(t, 30*time.Second, "the user gets in", func(ctx context.Context) error { return get(ctx, made.Password) })
	if status, ok := errors.AsType[errStatus](get(t.Context(), "guess")); !ok || status != http.StatusUnauthorized {
		t.Errorf("with a wrong password: %v", status)
	}
	s.run(t, "appliance", "registry", "user", "remove", "ci")
	await(t, 30*time.Second, "the user is out", func(ctx context.Context) error {
		if status, ok := errors.AsType[errStatus](get(ctx, made.Password)); !ok || status != http.StatusUnauthorized {
			return errors.New("the removed user's password is still good")
		}
		return nil
	})
}

// registryRestarted pulls again after a power cut.
func (s *plant) registryRestarted(t *testing.T) {
	if err := s.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the server is ready again", s.ready)
	s.startPod(t, newPod(s.namespace(t, "e2e-again"), "again", func(pod *corev1.Pod) {
		pod.Spec.NodeName = s.agents[0].host.Name()
		pod.Spec.Containers[0].Image, pod.Spec.Containers[0].ImagePullPolicy = uploadedImage, corev1.PullAlways
	}))
}

type pruned struct {
	Unused []struct {
		Repository string
		Deleted    bool
	}
	Deleted int
}

// prune takes two steps, and none while a pod uses the image.
func (s *plant) prune(t *testing.T) {
	ns := s.namespace(t, "e2e-prune")
	s.startPod(t, newPod(ns, "user", func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = uploadedImage }))
	for range 2 {
		if r := runJSON[pruned](t, s.platform, "image", "prune", "--yes"); len(r.Unused) > 0 {
			t.Errorf("while it is used: %+v", r)
		}
	}
	if err := s.kube.CoreV1().Pods(ns).Delete(t.Context(), "user", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	awaitJSON(t, podLimit, "it is marked once no pod is left, and not deleted", s.platform, []string{"image", "prune"}, func(r pruned) error {
		if r.Deleted > 0 {
			t.Fatalf("deleted without being told to: %+v", r)
		}
		if len(r.Unused) != 1 {
			return fmt.Errorf("unused: %+v", r)
		}
		return nil
	})
	if r := runJSON[pruned](t, s.platform, "image", "prune", "--yes"); r.Deleted != 1 || len(r.Unused) != 1 || !r.Unused[0].Deleted {
		t.Errorf("marked before: %+v", r)
	}
	for _, row := range runJSON[[]imageRow](t, s.platform, "image", "list") {
		if row.Reference == uploadedImage && row.From == "registry" {
			t.Errorf("it is still there: %+v", row)
		}
	}
}

// dockerSave is an archive as `docker save` writes it: the sample image with a layer more.
func dockerSave(t *testing.T) []byte {
	t.Helper()
	b, err := bundle.Open(executable(t), trust.Set{}.Lenient())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	component, err := b.Find(bundle.KindImage, "hello-v1")
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := b.Manifest(t.Context(), component.Descriptor)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := b.ReadBlob(t.Context(), manifest.Config.Digest, manifest.Config.Size)
	if err != nil {
		t.Fatal(err)
	}
	var config v1.Image
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	var layers [][]byte
	for _, l := range manifest.Layers {
		layers = append(layers, plain(t, b, l))
	}
	extra := tarOf(t, map[string][]byte{"uploaded": []byte("uploaded from a file")}, "uploaded")
	layers = append(layers, extra)
	config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromBytes(extra))
	config.History = nil
	files, order := map[string][]byte{}, []string{}
	put := func(name string, content []byte) {
		files[name], order = content, append(order, name)
	}
	var names []string
	for i, l := range layers {
		names = append(names, fmt.Sprintf("layer%d/layer.tar", i))
		put(names[i], l)
	}
	put("config.json", encodeJSON(t, config))
	put("manifest.json", encodeJSON(t, []map[string]any{{"Config": "config.json", "RepoTags": []string{uploadedImage}, "Layers": names}}))
	return tarOf(t, files, order...)
}

// plain is a layer as it is unpacked.
func plain(t *testing.T, b *bundle.Reader, l v1.Descriptor) []byte {
	t.Helper()
	blob, err := b.Blob(t.Context(), l.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	decoder, err := zstd.NewReader(blob)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	content, err := io.ReadAll(decoder)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func tarOf(t *testing.T, files map[string][]byte, order ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, name := range order {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func encodeJSON(t *testing.T, v any) []byte {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
