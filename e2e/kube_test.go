package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"islet/appliance/lab"
)

// connect makes p.kube: the cluster as its administrator sees it from beside the host, at the lab's switch.
func (p *platform) connect() error {
	kubeconfig, err := p.host.ReadFile(paths.AdminKubeconfig())
	if err != nil {
		return err
	}
	p.rest, err = clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return err
	}
	p.rest.Dial = p.lab.Dial
	p.rest.QPS = -1
	p.kube, err = kubernetes.NewForConfig(p.rest)
	return err
}

// kubectl runs the host's own kubectl.
func (p *platform) kubectl(ctx context.Context, args ...string) (string, error) {
	return p.host.Output(ctx, append([]string{"appliance", "kubectl"}, args...)...)
}

// apply applies manifests.
func (p *platform) apply(t *testing.T, manifests string) {
	t.Helper()
	var out strings.Builder
	err := p.host.Exec(t.Context(), lab.Command{
		Args: []string{"appliance", "kubectl", "apply", "-f", "-"}, Stdin: strings.NewReader(manifests), Stdout: &out, Stderr: &out,
	})
	if err != nil {
		t.Fatalf("apply: %v\n%s", err, out.String())
	}
}

// remove deletes what apply made.
func (p *platform) remove(t *testing.T, manifests string) {
	t.Helper()
	var out strings.Builder
	err := p.host.Exec(t.Context(), lab.Command{
		Args: []string{"appliance", "kubectl", "delete", "-f", "-"}, Stdin: strings.NewReader(manifests), Stdout: &out, Stderr: &out,
	})
	if err != nil {
		t.Fatalf("delete: %v\n%s", err, out.String())
	}
}

// namespace makes a namespace that goes with the test.
func (p *platform) namespace(t *testing.T, name string) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"e2e": name}}}
	if _, err := p.kube.CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		err := p.kube.CoreV1().Namespaces().Delete(context.WithoutCancel(t.Context()), name, metav1.DeleteOptions{})
		if err != nil {
			t.Errorf("delete namespace: %v", err)
		}
	})
	return name
}

// nodeReady complains while Kubernetes does not call the node ready.
func (p *platform) nodeReady(ctx context.Context) error {
	node, err := p.kube.CoreV1().Nodes().Get(ctx, p.host.Name(), metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			if c.Status == corev1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("node is not ready: %s: %s", c.Reason, c.Message)
		}
	}
	return errors.New("node says nothing about readiness")
}

// podsReady complains while a pod of the namespaces (none: of all) is not ready, or there is none.
func (p *platform) podsReady(ctx context.Context, namespaces ...string) error {
	if len(namespaces) == 0 {
		namespaces = []string{metav1.NamespaceAll}
	}
	var errs []error
	for _, namespace := range namespaces {
		pods, err := p.kube.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return err
		}
		if len(pods.Items) == 0 {
			errs = append(errs, fmt.Errorf("namespace %s has no pods", namespace))
		}
		for _, pod := range pods.Items {
			if pod.Status.Phase != corev1.PodSucceeded && !isReady(&pod) {
				errs = append(errs, fmt.Errorf("pod %s/%s is %s and not ready", pod.Namespace, pod.Name, pod.Status.Phase))
			}
		}
	}
	return errors.Join(errs...)
}

func isReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue && pod.DeletionTimestamp == nil
		}
	}
	return false
}
