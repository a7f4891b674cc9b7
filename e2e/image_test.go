package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// imageRow is a row of `appliance image list -o json`.
type imageRow struct {
	Reference, Digest, Source, From string
	Present, Pinned                 bool
}

// imagesPresent complains unless the node has every image of the bundle, pinned, and returns them by digest.
func (p *platform) imagesPresent(t *testing.T) map[string]imageRow {
	t.Helper()
	rows := map[string]imageRow{}
	for _, row := range runJSON[[]imageRow](t, p, "image", "list") {
		rows[row.Digest] = row
		if !row.Present || !row.Pinned || !strings.HasPrefix(row.Source, "islet@sha256:") {
			t.Errorf("image %+v", row)
		}
	}
	return rows
}

// images proves that every image came from the bundle, and that nobody ever tried to pull one.
func images(t *testing.T, p *platform) {
	carried := p.imagesPresent(t)
	pods, err := p.kube.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	used := 0
	for _, pod := range pods.Items {
		for _, c := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			_, digest, _ := strings.Cut(c.ImageID, "@")
			if _, ok := carried[digest]; !ok && c.ImageID != "" {
				t.Errorf("pod %s/%s runs %s (%s), which is not in the bundle", pod.Namespace, pod.Name, c.Image, c.ImageID)
			}
			used++
		}
	}
	pulled := p.pullEvents(t)
	t.Logf("%d images carried, %d containers, %d Pulled events", len(carried), used, pulled)
	if pulled < used || used == 0 {
		t.Errorf("%d Pulled events for %d containers: the test looks at the wrong thing", pulled, used)
	}
}

// pullEvents complains about every sign of a pull and counts the events that tell of none.
func (p *platform) pullEvents(t *testing.T) (pulled int) {
	t.Helper()
	events, err := p.kube.CoreV1().Events("").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events.Items {
		switch {
		case e.Reason == "Pulled":
			pulled++
			if !strings.Contains(e.Message, "already present on machine") {
				t.Errorf("%s: %s", e.InvolvedObject.Name, e.Message)
			}
		case e.Reason == "Pulling", e.Reason == "Failed", e.Reason == "BackOff", strings.HasPrefix(e.Reason, "ErrImage"):
			t.Errorf("%s of %s: %s", e.Reason, e.InvolvedObject.Name, e.Message)
		}
	}
	return pulled
}

// imageRestored deletes an image behind the platform's back.
func imageRestored(t *testing.T, p *platform) {
	const victim = "islet.internal/samples/hello:v2"
	p.run(t, "appliance", "ctr", "images", "rm", "--sync", victim)
	took := await(t, 30*time.Second, "the deleted image is back", func(ctx context.Context) error {
		out, err := p.host.Output(ctx, "appliance", "ctr", "images", "list", "-q")
		if err == nil && !strings.Contains(out, victim+"\n") {
			err = fmt.Errorf("there are only:\n%s", out)
		}
		return err
	})
	t.Logf("back after %s", took.Round(time.Millisecond))
	p.imagesPresent(t)
	ns := p.namespace(t, "e2e-image-restored")
	p.startPod(t, newPod(ns, "second", func(pod *corev1.Pod) { pod.Spec.Containers[0].Image = victim }))
}
