package kube

import (
	"crypto/tls"
	"net/http"
	"path/filepath"
	"testing"

	"islet/appliance/atomicfile"
	"islet/appliance/kubeconfig"
	"islet/appliance/pki"
)

// A client goes on when the server's authority is another from one request to the next.
func TestClientTrustsWhatIsInItsFileNow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ca.crt")
	transport := &trusting{config: Config(kubeconfig.Access{CAFile: file})}
	for _, round := range []string{"first", "second"} {
		s := store(t)
		url := endpoint(t, s, http.StatusOK, "ok", tls.NoClientCert)
		if err := get(t, transport, url); err == nil {
			t.Errorf("%s: trusted before its authority is in the file", round)
		}
		if err := atomicfile.Write(file, s.Authority(pki.ClusterCA).PEM(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := get(t, transport, url); err != nil {
			t.Errorf("%s: %v", round, err)
		}
	}
}

// A configuration that holds its authority needs no file: so is an administrator's, who takes it elsewhere.
func TestClientTrustsWhatIsInItsConfiguration(t *testing.T) {
	t.Parallel()
	s := store(t)
	url := endpoint(t, s, http.StatusOK, "ok", tls.NoClientCert)
	config := Config(kubeconfig.Access{})
	config.CAData = s.Authority(pki.ClusterCA).PEM()
	if _, err := NewClient(config); err != nil {
		t.Fatal(err)
	}
	transport, err := newTransport(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := get(t, transport, url); err != nil {
		t.Error(err)
	}
}

func get(t *testing.T, transport http.RoundTripper, url string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		err = resp.Body.Close()
	}
	return err
}
