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
	client := &http.Client{Transport: &trusting{config: Config(kubeconfig.Access{CAFile: file})}}
	get := func(url string) error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			err = resp.Body.Close()
		}
		return err
	}
	for _, round := range []string{"first", "second"} {
		s := store(t)
		url := endpoint(t, s, http.StatusOK, "ok", tls.NoClientCert)
		if err := get(url); err == nil {
			t.Errorf("%s: trusted before its authority is in the file", round)
		}
		if err := atomicfile.Write(file, s.Authority(pki.ClusterCA).PEM(), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := get(url); err != nil {
			t.Errorf("%s: %v", round, err)
		}
	}
}
