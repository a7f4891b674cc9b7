package kube

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client/fake"
	"islet/appliance/kubeconfig"
	"islet/appliance/pki"
)

// endpoint serves health on loopback with a certificate of the cluster's authority, and wants one of
// the client authority where asked.
func endpoint(t *testing.T, s *pki.Store, code int, body string, clientAuth tls.ClientAuthType) string {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}))
	pair, err := s.Pair("server")
	if err != nil {
		t.Fatal(err)
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: clientAuth, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	t.Cleanup(server.Close)
	return strings.Replace(server.URL, "127.0.0.1", "localhost", 1)
}

func store(t *testing.T) *pki.Store {
	t.Helper()
	s, err := pki.Open(t.TempDir(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure([]pki.Leaf{
		{Name: "server", Authority: pki.ClusterCA, CommonName: "server", DNSNames: []string{"localhost"}, Server: true},
		{Name: "client", Authority: pki.ClientCA, CommonName: "client", Client: true},
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestProbe(t *testing.T) {
	t.Parallel()
	s := store(t)
	ca, other := s.Authority(pki.ClusterCA).CertFile(), s.Authority(pki.SiteCA).CertFile()
	pair := func() (tls.Certificate, error) { return s.Pair("client") }
	verbose := "[+]ping ok\n[-]etcd failed: reason withheld\n[-]poststarthook/rbac/bootstrap-roles failed: reason withheld\nreadyz check failed\n"
	cases := []struct {
		name string
		url  string
		ca   string
		pair func() (tls.Certificate, error)
		want string // part of the error; empty when healthy
	}{
		{"healthy", endpoint(t, s, 200, "ok", tls.NoClientCert), ca, nil, ""},
		{"healthy, for us alone", endpoint(t, s, 200, "ok", tls.RequireAnyClientCert), ca, pair, ""},
		{"healthy, for others", endpoint(t, s, 200, "ok", tls.RequireAnyClientCert), ca, nil, "certificate required"},
		{"not ready", endpoint(t, s, 500, verbose, tls.NoClientCert), ca, nil, "500 Internal Server Error: etcd, poststarthook/rbac/bootstrap-roles"},
		{"not ready, without words", endpoint(t, s, 503, "", tls.NoClientCert), ca, nil, ": 503 Service Unavailable"},
		{"somebody else's server", endpoint(t, s, 200, "ok", tls.NoClientCert), other, nil, "unknown authority"},
		{"no authority", "https://localhost:1", "/no/such/file", nil, "no such file"},
		{"no certificate of ours", "https://localhost:1", ca, func() (tls.Certificate, error) { return s.Pair("none") }, "no such file"},
		{"nobody listens", "https://localhost:1", ca, nil, "connection refused"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := Probe(c.ca, c.url, c.pair)(t.Context())
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Probe(ca, cases[0].url, nil)(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNewClientNeedsNoAPI(t *testing.T) {
	t.Parallel()
	s := store(t)
	config := Config(kubeconfig.Access{
		Server: "https://127.0.0.1:1", CAFile: s.Authority(pki.ClusterCA).CertFile(), CertFile: s.CertFile("client"), KeyFile: s.KeyFile("client"),
	})
	c, err := NewClient(config)
	if err != nil {
		t.Fatalf("before the API is up: %v", err)
	}
	if err := NodeReady(t.Context(), c, "node1"); err == nil {
		t.Error("a node is ready without an API")
	}
	config.CAFile = filepath.Join(t.TempDir(), "none")
	if _, err := NewClient(config); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no authority: %v", err)
	}
}

func TestNodeReady(t *testing.T) {
	t.Parallel()
	condition := func(kind corev1.NodeConditionType, status corev1.ConditionStatus) corev1.NodeCondition {
		return corev1.NodeCondition{Type: kind, Status: status, Message: "says the kubelet"}
	}
	for name, c := range map[string]struct {
		conditions []corev1.NodeCondition
		want       string
	}{
		"ready":             {[]corev1.NodeCondition{condition(corev1.NodeDiskPressure, corev1.ConditionFalse), condition(corev1.NodeReady, corev1.ConditionTrue)}, ""},
		"not ready":         {[]corev1.NodeCondition{condition(corev1.NodeReady, corev1.ConditionFalse)}, "node is not ready: says the kubelet"},
		"lost":              {[]corev1.NodeCondition{condition(corev1.NodeReady, corev1.ConditionUnknown)}, "node is not ready: says the kubelet"},
		"only just created": {nil, "node is not ready"},
	} {
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node1"}, Status: corev1.NodeStatus{Conditions: c.conditions}}
		err := NodeReady(t.Context(), fake.New(node), "node1")
		if c.want == "" && err != nil || c.want != "" && (!errors.Is(err, ErrNotReady) || err.Error() != c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	if err := NodeReady(t.Context(), fake.New(), "node1"); err == nil || errors.Is(err, ErrNotReady) {
		t.Errorf("no such node: %v", err)
	}
}
