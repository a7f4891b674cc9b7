package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// claim asks the default storage class for a volume.
func (p *platform) claim(t *testing.T, namespace, name, size string) {
	t.Helper()
	_, err := p.kube.CoreV1().PersistentVolumeClaims(namespace).Create(t.Context(), &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse(size)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
}

// withClaim mounts a claim as the pod's data.
func withClaim(name string) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Spec.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{
			PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: name},
		}}}
		container := &pod.Spec.Containers[0]
		container.VolumeMounts = []corev1.VolumeMount{{Name: "data", MountPath: "/data"}}
		container.Args = append(container.Args, "--data", "/data")
	}
}

// volume writes to a volume through one pod and reads it through its successor.
func volume(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-volume")
	p.claim(t, ns, "data", "64Mi")
	first := p.startPod(t, newPod(ns, "first", withClaim("data")))
	if _, err := send(t.Context(), p.inside(), http.MethodPut, podURL(first)+"files/note", "kept"); err != nil {
		t.Fatal(err)
	}
	p.deletePod(t, first)
	second := p.startPod(t, newPod(ns, "second", withClaim("data")))
	got, err := send(t.Context(), p.inside(), http.MethodGet, podURL(second)+"files/note", "")
	if err != nil || got != "kept" {
		t.Fatalf("the next pod reads %q, %v", got, err)
	}
	p.deletePod(t, second)
	claims := p.kube.CoreV1().PersistentVolumeClaims(ns)
	if err := claims.Delete(t.Context(), "data", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, 30*time.Second, "a deleted claim's directory goes", func(context.Context) error {
		if out := p.run(t, "ls", paths.Storage()); strings.Contains(out, "data") {
			return fmt.Errorf("still there: %s", out)
		}
		return nil
	})
}

func (p *platform) deletePod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	pods := p.kube.CoreV1().Pods(pod.Namespace)
	if err := pods.Delete(t.Context(), pod.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, podLimit, pod.Name+" is gone", func(ctx context.Context) error {
		_, err := pods.Get(ctx, pod.Name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is still there: %w", err)
	})
}

// volumeTooLarge asks for more than there is and wants to be told so, where the asker looks.
func volumeTooLarge(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-volume-too-large")
	p.claim(t, ns, "huge", "900Ti")
	pod := newPod(ns, "wants", withClaim("huge"))
	if _, err := p.kube.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, time.Minute, "the claim's events say that there is not enough room", func(ctx context.Context) error {
		events, err := p.kube.CoreV1().Events(ns).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=huge"})
		if err != nil {
			return err
		}
		var all []string
		for _, e := range events.Items {
			if e.Type == corev1.EventTypeWarning && strings.Contains(e.Message, "not enough room") {
				t.Logf("%s: %s", e.Reason, e.Message)
				return nil
			}
			all = append(all, e.Reason+": "+e.Message)
		}
		return fmt.Errorf("they say:\n%s", strings.Join(all, "\n"))
	})
	got, err := p.kube.CoreV1().PersistentVolumeClaims(ns).Get(t.Context(), "huge", metav1.GetOptions{})
	if err != nil || got.Status.Phase != corev1.ClaimPending {
		t.Errorf("the claim is %s, %v", got.Status.Phase, err)
	}
}
