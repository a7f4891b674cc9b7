package main

import (
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// api answers as the API server does and keeps what it was sent.
type api struct {
	status int
	path   string
	token  string
	event  struct {
		Metadata       struct{ GenerateName, Namespace string }
		InvolvedObject struct{ Kind, Name, Namespace, UID string }
		Type, Message  string
	}
}

func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.path, a.token = r.Method+" "+r.URL.Path, r.Header.Get("Authorization")
	if err := json.NewDecoder(r.Body).Decode(&a.event); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.WriteHeader(a.status)
}

// serve starts the API and puts credentials for it where a pod has them.
func serve(t *testing.T, a *api) cluster {
	t.Helper()
	server := httptest.NewTLSServer(a)
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "ca.crt"), ca, 0o600), os.WriteFile(filepath.Join(dir, "token"), []byte("key\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	c, err := inCluster(dir, func(name string) string {
		return map[string]string{"KUBERNETES_SERVICE_HOST": at.Hostname(), "KUBERNETES_SERVICE_PORT": at.Port()}[name]
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRefuse(t *testing.T) {
	t.Parallel()
	a := &api{status: http.StatusCreated}
	c := serve(t, a)
	of, err := volume{path: "/storage/pvc-1-2-3_shop_data_of_the_shop"}.claim()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.refuse(t.Context(), of, errFull, time.Now()); err != nil {
		t.Fatal(err)
	}
	object := a.event.InvolvedObject
	if a.path != "POST /api/v1/namespaces/shop/events" || a.token != "Bearer key" || a.event.Metadata.Namespace != "shop" ||
		object.Kind != "PersistentVolumeClaim" || object.Name != "data_of_the_shop" || object.Namespace != "shop" || object.UID != "1-2-3" ||
		a.event.Type != "Warning" || a.event.Message != errFull.Error() {
		t.Errorf("sent %+v", a)
	}
	a.status = http.StatusForbidden
	if err := c.refuse(t.Context(), of, errFull, time.Now()); err == nil {
		t.Error("a refused event is no error")
	}
}

func TestClaimOfStrangeNames(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"/storage/pvc-1", "/storage/pvc-1_ns"} {
		if of, err := (volume{path: path}).claim(); !errors.Is(err, errPath) {
			t.Errorf("%s: %+v, %v; want %v", path, of, err, errPath)
		}
	}
}
