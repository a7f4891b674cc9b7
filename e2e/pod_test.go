package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"islet/appliance/lab"
)

const (
	sampleNamespace = "demo"
	sampleImage     = "islet.internal/samples/hello:v1"
	samplePort      = 8080
	podLimit        = readyLimit
)

// newPod describes a pod of the sample image: a server, and a client through exec.
func newPod(namespace, name string, edits ...func(*corev1.Pod)) *corev1.Pod {
	grace := int64(1)
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"app": name}},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: &grace,
			Containers: []corev1.Container{{
				Name: "hello", Image: sampleImage, Args: []string{"--drain", "0s"},
				Env: []corev1.EnvVar{{Name: "POD_NAME", Value: name}},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					HTTPGet: &corev1.HTTPGetAction{Path: "/readyz", Port: intstr.FromInt32(samplePort)},
				}},
			}},
		},
	}
	for _, edit := range edits {
		edit(pod)
	}
	return pod
}

// startPod creates the pod and waits until it is ready.
func (p *platform) startPod(t *testing.T, pod *corev1.Pod) *corev1.Pod {
	t.Helper()
	pods := p.kube.CoreV1().Pods(pod.Namespace)
	if _, err := pods.Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return p.awaitPod(t, pod.Namespace, pod.Name)
}

func (p *platform) awaitPod(t *testing.T, namespace, name string) *corev1.Pod {
	t.Helper()
	var pod *corev1.Pod
	await(t, podLimit, "pod "+name, func(ctx context.Context) (err error) {
		pod, err = p.kube.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
		if err == nil && !isReady(pod) {
			err = fmt.Errorf("it is %s and not ready", pod.Status.Phase)
		}
		return err
	})
	return pod
}

// samplePod is one of the sample application's pods.
func (p *platform) samplePod(t *testing.T) *corev1.Pod {
	t.Helper()
	pods, err := p.kube.CoreV1().Pods(sampleNamespace).List(t.Context(), metav1.ListOptions{LabelSelector: "app=hello"})
	if err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods.Items {
		if isReady(&pod) {
			return &pod
		}
	}
	t.Fatal("the sample application has no ready pod")
	return nil
}

// expose makes a service of the pods with the label app=name, on port 80.
func (p *platform) expose(t *testing.T, namespace, name string, kind corev1.ServiceType) *corev1.Service {
	t.Helper()
	service, err := p.kube.CoreV1().Services(namespace).Create(t.Context(), &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.ServiceSpec{
			Type: kind, Selector: map[string]string{"app": name},
			Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(samplePort)}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return service
}

// hello runs the sample image's program in a pod, as a client: fetch URL or lookup NAME.
func (p *platform) hello(ctx context.Context, pod *corev1.Pod, args ...string) (string, error) {
	return p.kubectl(ctx, append([]string{"-n", pod.Namespace, "exec", pod.Name, "--", "/hello"}, args...)...)
}

// reaches complains unless the pod can fetch the URL and the answer is of the pod named want.
func (p *platform) reaches(ctx context.Context, from *corev1.Pod, url, want string) error {
	out, err := p.hello(ctx, from, "fetch", url)
	if err != nil {
		return err
	}
	var answer struct{ Pod string }
	if err := json.Unmarshal([]byte(out), &answer); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if !strings.HasPrefix(answer.Pod, want) {
		return fmt.Errorf("%s was answered by pod %q, not %q", url, answer.Pod, want)
	}
	return nil
}

// errReached is a connection that should have been blocked.
var errReached = errors.New("it is reachable")

// blocked complains unless the pod's connection to the URL fails. That the attempt itself could not be made is no proof.
func (p *platform) blocked(ctx context.Context, from *corev1.Pod, url string) error {
	out, err := p.hello(ctx, from, "fetch", url)
	switch code, ran := lab.ExitCode(err); {
	case err == nil:
		return fmt.Errorf("%w: %s: %.100s", errReached, url, out)
	case !ran || code != 1 || !strings.Contains(err.Error(), "hello: "):
		return fmt.Errorf("the attempt itself failed: %w", err)
	}
	return nil
}

func podURL(pod *corev1.Pod) string {
	return fmt.Sprintf("http://%s:%d/", pod.Status.PodIP, samplePort)
}
