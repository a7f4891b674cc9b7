package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/audit"
	"islet/appliance/join"
	"islet/appliance/kube/client/fake"
	"islet/appliance/pki"
)

// The API server's log becomes a chain, its head is published, and a chain that was cut while the daemon was down is noticed.
func TestAuditor(t *testing.T) {
	t.Parallel()
	dir, events := filepath.Join(t.TempDir(), "audit"), t.TempDir()
	store, err := pki.Open(t.TempDir(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Ensure([]pki.Leaf{{Name: join.NodeLeaf, Authority: pki.NodeCA, CommonName: "n1", Server: true, Client: true}}); err != nil {
		t.Fatal(err)
	}
	api := fake.New()
	event := `{"auditID":"1","stage":"ResponseComplete","verb":"delete","user":{"username":"ann"},"objectRef":{"resource":"pods","namespace":"press-dev","name":"x"},"responseStatus":{"code":200}}` + "\n"
	if err := os.WriteFile(filepath.Join(events, "audit.log"), []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(until func(a *auditor) bool) *auditor {
		t.Helper()
		a := &auditor{client: api, log: slog.New(slog.DiscardHandler), node: "n1", dir: dir, events: events,
			pair:        func() (tls.Certificate, error) { return store.Pair(join.NodeLeaf) },
			authorities: func() []*x509.Certificate { return store.Authority(pki.NodeCA).Trusted }}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- a.Run(ctx, func() {}) }()
		for begun := time.Now(); !until(a) && time.Since(begun) < 10*time.Second; {
			select {
			case err := <-ended:
				t.Fatal(err)
			case <-time.After(10 * time.Millisecond):
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		return a
	}
	a := run(func(*auditor) bool {
		heads, err := audit.Published(t.Context(), api)
		return err == nil && len(heads) == 1 && heads[0].Seq == 2
	})
	heads, err := audit.Published(t.Context(), api)
	if err != nil || len(heads) != 1 || heads[0].Verify(a.authorities()) != nil || a.Check(t.Context()) != nil {
		t.Fatalf("%+v (%v)", heads, err)
	}
	files, err := audit.Files(dir)
	if err != nil || len(files) != 1 {
		t.Fatalf("%v (%v)", files, err)
	}
	raw, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for i, c := range raw {
		if c == '\n' {
			if lines++; lines == 1 {
				if err := os.WriteFile(files[0], raw[:i+1], 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	whole := slices.Clone(raw)
	a = run(func(a *auditor) bool { return a.broken.Load() != nil })
	if f := a.broken.Load(); lines != 2 || f == nil || f.Kind != audit.KindCut || a.Check(t.Context()) == nil {
		t.Errorf("%d lines, found %+v", lines, f)
	}

	// Another authority for nodes: the old head says nothing, and is signed anew.
	if err := os.WriteFile(files[0], whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if store, err = pki.Open(t.TempDir(), time.Time{}, nil); err == nil {
		_, err = store.Ensure([]pki.Leaf{{Name: join.NodeLeaf, Authority: pki.NodeCA, CommonName: "n1", Server: true, Client: true}})
	}
	if err != nil {
		t.Fatal(err)
	}
	signed := func(a *auditor) bool {
		heads, err := audit.Published(t.Context(), api)
		return err == nil && len(heads) > 0 && !slices.ContainsFunc(heads, func(h audit.Head) bool { return h.Verify(a.authorities()) != nil })
	}
	if a = run(signed); a.Check(t.Context()) != nil || !signed(a) {
		t.Errorf("after a rotation: %v", a.Check(t.Context()))
	}

	// A disk that was replaced: the chain before is known by its head, which the new one says once.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		a = run(func(a *auditor) bool {
			heads, err := audit.Published(t.Context(), api)
			return err == nil && len(heads) == 2 && a.checked.Load()
		})
		var lost []string
		err := audit.ReadAll(dir, func(e audit.Entry) error {
			if e.Verb == audit.VerbLost && strings.HasPrefix(e.Object, "chains/") {
				lost = append(lost, e.Object)
			}
			return nil
		})
		if err != nil || a.Check(t.Context()) != nil || !slices.Equal(lost, []string{"chains/" + heads[0].Chain}) {
			t.Errorf("after the loss of the disk: %v, %v; lost %v", err, a.Check(t.Context()), lost)
		}
	}
}
