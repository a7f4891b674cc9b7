package e2e

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"islet/appliance/pki"
)

// anonymous asks every port of the host that must know who asks.
func anonymous(t *testing.T, p *platform) {
	for _, url := range []string{
		"https://node1:6443/api/v1/secrets", "https://node1:6443/version", "https://node1:6443/healthz",
		"https://node1:10250/pods", "https://node1:10250/metrics", "https://node1:10250/logs/",
	} {
		var port int
		if _, err := fmt.Sscanf(url, "https://node1:%d", &port); err != nil {
			t.Fatal(err)
		}
		client := p.outside(t, port)
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.authority(t, pki.ClusterCA)}
		_, err := send(t.Context(), client, http.MethodGet, url, "")
		if !errors.Is(err, errStatus(http.StatusUnauthorized)) {
			t.Errorf("%s without credentials: %v; want 401", url, err)
		}
	}
	for _, port := range []int{10248, 10249, 10256, 10257, 10259, 2379, 2380} {
		if conn, err := p.lab.Dial(t.Context(), "tcp", fmt.Sprintf("node1:%d", port)); err == nil {
			_ = conn.Close()
			t.Errorf("port %d is open to the outside", port)
		}
	}
}

// secrets looks for a secret's content where it must not be, and for a ConfigMap's, to know that it looks well.
func secrets(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-secrets")
	hidden, plain := "hidden-"+rand.Text(), "plain-"+rand.Text()
	_, err := p.kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "planted"}, StringData: map[string]string{"key": hidden},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = p.kube.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "planted"}, Data: map[string]string{"key": plain},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	needles := []string{hidden, base64.StdEncoding.EncodeToString([]byte(hidden))}
	var database []byte
	for _, name := range []string{"state.db", "state.db-wal"} {
		content, err := p.host.ReadFile(filepath.Join(paths.Datastore(), name))
		if err != nil {
			t.Fatal(err)
		}
		database = append(database, content...)
	}
	if !bytes.Contains(database, []byte(plain)) {
		t.Error("the database does not hold a ConfigMap in the clear: the test looks at the wrong thing")
	}
	audit := filepath.Join(paths.Logs(), "audit", "audit.log")
	var log []byte
	await(t, time.Minute, "the audit log tells of the secret", func(context.Context) error {
		var err error
		if log, err = p.host.ReadFile(audit); err != nil {
			return err
		}
		for line := range bytes.Lines(log) {
			if bytes.Contains(line, []byte(`"verb":"create"`)) && bytes.Contains(line, []byte(`"resource":"secrets","namespace":"`+ns+`"`)) {
				return nil
			}
		}
		return errors.New("no such line")
	})
	for _, needle := range needles {
		if bytes.Contains(database, []byte(needle)) {
			t.Errorf("the secret %s is in the database in the clear", needle)
		}
		if bytes.Contains(log, []byte(needle)) {
			t.Errorf("the secret %s is in the audit log", needle)
		}
	}
}

// podSecurity offers a privileged pod to the API server, which says what it would do.
func podSecurity(t *testing.T, p *platform) {
	for _, test := range []struct {
		namespace string
		allowed   bool
	}{
		{p.namespace(t, "e2e-pod-security"), false}, {"default", false}, {"islet-system", true},
	} {
		pod := newPod(test.namespace, "privileged", func(pod *corev1.Pod) {
			yes := true
			pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{Privileged: &yes}
		})
		_, err := p.kube.CoreV1().Pods(test.namespace).Create(t.Context(), pod, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if test.allowed && err != nil {
			t.Errorf("%s refuses a privileged pod: %v", test.namespace, err)
		}
		if !test.allowed && (!apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "PodSecurity")) {
			t.Errorf("%s: a privileged pod gives %v; want it refused by PodSecurity", test.namespace, err)
		}
	}
}

// nodeRestriction acts as the kubelet, whose credentials a thief of the node would have.
func nodeRestriction(t *testing.T, p *platform) {
	config := rest.CopyConfig(p.rest)
	var err error
	if config.CertData, err = p.host.ReadFile(filepath.Join(paths.PKI(), "kubelet.crt")); err != nil {
		t.Fatal(err)
	}
	if config.KeyData, err = p.host.ReadFile(filepath.Join(paths.PKI(), "kubelet.key")); err != nil {
		t.Fatal(err)
	}
	kubelet, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	// A node that no DaemonSet puts pods on.
	other := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "other"}, Spec: corev1.NodeSpec{
		Taints: []corev1.Taint{{Key: "e2e", Effect: corev1.TaintEffectNoSchedule}},
	}}
	if _, err := p.kube.CoreV1().Nodes().Create(t.Context(), other, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := p.kube.CoreV1().Nodes().Delete(t.Context(), "other", metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	}()
	label := func(node, label string) error {
		patch := fmt.Appendf(nil, `{"metadata":{"labels":{%q:"x"}}}`, label)
		_, err := kubelet.CoreV1().Nodes().Patch(t.Context(), node, types.MergePatchType, patch, metav1.PatchOptions{})
		return err
	}
	if err := label(p.host.Name(), "e2e"); err != nil {
		t.Errorf("the kubelet may not label its own node: the test proves nothing: %v", err)
	}
	if err := label("other", "e2e"); !apierrors.IsForbidden(err) {
		t.Errorf("the kubelet labels another node: %v", err)
	}
	if err := label(p.host.Name(), "node-restriction.kubernetes.io/e2e"); !apierrors.IsForbidden(err) {
		t.Errorf("the kubelet sets a label that is the administrator's: %v", err)
	}
	if _, err := kubelet.CoreV1().Secrets("").List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("the kubelet lists all secrets: %v", err)
	}
}

// filesPrivate looks at the modes of everything that holds a key.
func filesPrivate(t *testing.T, p *platform) {
	mode := func(path string, want fs.FileMode) {
		t.Helper()
		info, err := os.Lstat(p.host.Path(path))
		if err != nil {
			t.Error(err)
		} else if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode(), want)
		}
	}
	for _, dir := range []string{paths.PKI(), paths.Datastore(), paths.Backups(), paths.Generated(), paths.Kubeconfigs(), paths.RunDir} {
		mode(dir, 0o700)
	}
	for _, file := range []string{paths.AdminKubeconfig(), paths.Config(), paths.APISocket(), paths.KineSocket()} {
		mode(file, 0o600)
	}
	entries, err := os.ReadDir(p.host.Path(paths.PKI()))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		switch filepath.Ext(entry.Name()) {
		case ".crt", ".pub": // for everyone who may enter the directory
		default:
			mode(filepath.Join(paths.PKI(), entry.Name()), 0o600)
		}
	}
}
