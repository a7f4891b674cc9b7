package e2e

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/health"
)

// damagedDatabase spoils the database while the platform is down. The newest snapshot must take its place, with a report of
// what was lost, and everything must work.
func damagedDatabase(t *testing.T, p *platform) {
	p.note(t, "before")
	snapshot, err := p.daemon().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.note(t, "after")
	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.spoil(t)
	begun := time.Now()
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	var s api.Status
	await(t, readyLimit, "every component is ready", func(ctx context.Context) (err error) {
		if s, err = p.daemon().Status(ctx); err == nil && !s.Ready {
			err = fmt.Errorf("not ready: %v", slices.DeleteFunc(s.Components, func(c component.Status) bool { return c.State == component.Ready }))
		}
		return err
	})
	t.Logf("ready %s after the start, restored %s", time.Since(begun).Round(time.Millisecond), s.Datastore.Restored)
	if !slices.ContainsFunc(s.Problems, func(a health.Active) bool { return a.Code == health.DatastoreRestored && a.Detail != "" }) {
		t.Errorf("the status does not say that the datastore was restored from %s: %+v", snapshot, s.Problems)
	}
	kept, err := filepath.Glob(p.host.Path(filepath.Join(paths.Datastore(), "state.db.damaged-*")))
	if err != nil || len(kept) == 0 {
		t.Errorf("the damaged file was not kept: %v", err)
	}
	configs := p.kube.CoreV1().ConfigMaps("default")
	if _, err := configs.Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("what was written before the snapshot: %v", err)
	}
	if _, err := configs.Get(t.Context(), "after", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("what was written after the snapshot: %v: the database was not damaged", err)
	}
	p.note(t, "later")
	for _, url := range p.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return p.sampleAnswers(ctx, t, url) })
	}
	p.startPod(t, newPod(p.namespace(t, "e2e-restored"), "new"))
}

// note writes a ConfigMap.
func (p *platform) note(t *testing.T, name string) {
	t.Helper()
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if _, err := p.kube.CoreV1().ConfigMaps("default").Create(t.Context(), config, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// spoil overwrites a stretch of the database as a failing disk might.
func (p *platform) spoil(t *testing.T) {
	t.Helper()
	const page, first, count = 4096, 8, 64
	file, err := os.OpenFile(p.host.Path(filepath.Join(paths.Datastore(), "state.db")), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	if _, err := io.CopyN(io.NewOffsetWriter(file, first*page), rand.Reader, count*page); err != nil {
		t.Fatal(err)
	}
}
