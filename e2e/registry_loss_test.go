package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/config"
)

// TestRegistryLoss takes the server away that an image was brought to, as soon as the command has ended, and for good.
func TestRegistryLoss(t *testing.T) {
	t.Parallel()
	all := bootSite(t, "loss", 4, func(c *config.Config) { c.Datastore.Store = config.StoreEtcd })
	f := &fleet{servers: all[:3], agents: all[3:]}
	defer func() {
		for _, p := range all {
			p.diagnose(t)
		}
	}()
	f.assemble(t)
	first, second, agent := f.servers[0], f.servers[1], f.agents[0]
	if err := second.connect(); err != nil {
		t.Fatal(err)
	}
	ns := second.namespace(t, "e2e-loss")
	if err := first.host.WriteFile(archivePath, dockerSave(t), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := runJSON[[]uploaded](t, first, "image", "upload", archivePath)
	if err := first.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(rows) != 1 || rows[0].Copies < 2 {
		t.Fatalf("uploaded %+v", rows)
	}
	await(t, time.Minute, "the API answers without the first server", func(ctx context.Context) error {
		_, err := second.kube.CoreV1().ServiceAccounts(ns).Get(ctx, "default", metav1.GetOptions{})
		return err
	})
	begun := time.Now()
	second.startPod(t, newPod(ns, "survivor", func(pod *corev1.Pod) {
		pod.Spec.NodeName, pod.Spec.Containers[0].Image = agent.host.Name(), uploadedImage
	}))
	t.Logf("a pod on %s runs from it %s after it was made", agent.host.Name(), time.Since(begun).Round(10*time.Millisecond))

	// What is pushed meanwhile is on the other two, and on the first when it is back.
	const later = "registry.islet.internal/team/hello:2"
	if err := second.host.WriteFile(archivePath, dockerSave(t), 0o600); err != nil {
		t.Fatal(err)
	}
	if rows := runJSON[[]uploaded](t, second, "image", "upload", archivePath, "--as", later); len(rows) != 1 || rows[0].Copies < 2 {
		t.Errorf("uploaded %+v", rows)
	}
	if err := first.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitJSON(t, readyLimit, "the first server has what was pushed without it", first, []string{"image", "list"}, func(list []imageRow) error {
		for _, name := range []string{uploadedImage, later} {
			if !slices.ContainsFunc(list, func(r imageRow) bool { return r.Reference == name && r.From == "registry" }) {
				return fmt.Errorf("%s is not among %+v", name, list)
			}
		}
		return nil
	})
	for _, p := range all {
		await(t, readyLimit, p.host.Name()+" is ready and has nothing to tell", p.ready)
	}
}
