package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/datastore"
	"islet/appliance/health"
)

// damagedDatabase spoils the database while the platform is down. The newest snapshot must take its place, with a report of
// what was lost, and everything must work.
func damagedDatabase(t *testing.T, p *platform) {
	p.damage(t, func() {
		if err := p.host.StopBoot(t.Context()); err != nil {
			t.Fatal(err)
		}
	}, func() {
		if err := p.host.StartBoot(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// damagedInUse spoils the database while everything runs, and ends the datastore alone, as it might itself: nobody may go on
// with what it remembers of the part that is lost.
func damagedInUse(t *testing.T, p *platform) {
	kine, err := p.component(t.Context(), datastore.KineName)
	if err != nil {
		t.Fatal(err)
	}
	signal := func(name string) { p.run(t, "sh", "-c", fmt.Sprintf("kill -%s %d", name, kine.PID)) }
	p.damage(t, func() { signal("STOP") }, func() { signal("KILL") })
}

// damage writes a note, takes a snapshot, writes another note, and spoils the database between stop and start.
func (p *platform) damage(t *testing.T, stop, start func()) {
	t.Helper()
	before, after, later := "before-"+rand.Text(), "after-"+rand.Text(), "later-"+rand.Text()
	p.note(t, before)
	snapshot, err := p.daemon().Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.note(t, after)
	p.checkpoint(t)
	stop()
	p.spoil(t)
	begun := time.Now()
	start()
	at := snapshotTime(t, snapshot)
	await(t, readyLimit, "the status tells of the restored datastore", func(ctx context.Context) error {
		s, err := p.daemon().Status(ctx)
		if err == nil && (!s.Ready || !slices.ContainsFunc(s.Problems, func(a health.Active) bool {
			return a.Code == health.DatastoreRestored && strings.Contains(a.Detail, at)
		})) {
			err = fmt.Errorf("ready %v, restored %q, problems %+v", s.Ready, s.Datastore.Restored, s.Problems)
		}
		return err
	})
	t.Logf("restored after %s", time.Since(begun).Round(time.Millisecond))
	kept, err := filepath.Glob(p.host.Path(filepath.Join(paths.Datastore(), "state.db.damaged-*")))
	if err != nil || len(kept) == 0 {
		t.Errorf("the damaged file was not kept: %v", err)
	}
	p.onlyNote(t, before, after)
	p.note(t, later)
	for _, url := range p.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return p.sampleAnswers(ctx, t, url) })
	}
	p.startPod(t, newPod(p.namespace(t, strings.ToLower("e2e-"+rand.Text())), "new"))
	p.onlyNote(t, later, after)
}

// snapshotTime is the time in a snapshot's name as the status shows it.
func snapshotTime(t *testing.T, path string) string {
	t.Helper()
	at, err := time.Parse("sqlite-20060102T150405Z.db", filepath.Base(path))
	if err != nil {
		t.Fatal(err)
	}
	return at.Format(time.RFC3339)
}

// onlyNote waits until the API server has one note and not the other, asked for each and for a list.
func (p *platform) onlyNote(t *testing.T, there, gone string) {
	t.Helper()
	configs := p.kube.CoreV1().ConfigMaps("default")
	await(t, readyLimit, "what is in the snapshot is there and what is not is gone", func(ctx context.Context) error {
		if _, err := configs.Get(ctx, strings.ToLower(there), metav1.GetOptions{}); err != nil {
			return err
		}
		if _, err := configs.Get(ctx, strings.ToLower(gone), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
			return errors.Join(errors.New("what was written after the snapshot is not known to be gone"), err)
		}
		list, err := configs.List(ctx, metav1.ListOptions{ResourceVersion: "0"}) // from the API server's memory
		if err != nil {
			return err
		}
		named := func(name string) bool {
			return slices.ContainsFunc(list.Items, func(c corev1.ConfigMap) bool { return c.Name == strings.ToLower(name) })
		}
		if !named(there) || named(gone) {
			return fmt.Errorf("the list has the one: %v, the other: %v", named(there), named(gone))
		}
		return nil
	})
}

// note writes a ConfigMap, as soon as the API server takes it.
func (p *platform) note(t *testing.T, name string) {
	t.Helper()
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: strings.ToLower(name)}}
	await(t, readyLimit, "write "+name, func(ctx context.Context) error {
		_, err := p.kube.CoreV1().ConfigMaps("default").Create(ctx, config, metav1.CreateOptions{})
		if apierrors.IsAlreadyExists(err) { // the answer to the attempt before was lost
			return nil
		}
		return err
	})
}

// checkpoint writes until SQLite has moved its log into the database: as long as everything is in the log, the pages of the
// database itself do not matter.
func (p *platform) checkpoint(t *testing.T) {
	t.Helper()
	await(t, time.Minute, "the log is moved into the database", func(ctx context.Context) error {
		ballast := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{GenerateName: "ballast-"}, Data: map[string]string{"data": strings.Repeat(rand.Text(), 20_000)},
		}
		if _, err := p.kube.CoreV1().ConfigMaps("default").Create(ctx, ballast, metav1.CreateOptions{}); err != nil {
			return err
		}
		info, err := os.Stat(p.host.Path(filepath.Join(paths.Datastore(), "state.db")))
		if err == nil && info.Size() < 4<<20 {
			err = fmt.Errorf("it has %d bytes", info.Size())
		}
		return err
	})
}

// spoil overwrites the database behind its first pages, as a failing disk might.
func (p *platform) spoil(t *testing.T) {
	t.Helper()
	const first = 8 * 4096
	path := p.host.Path(filepath.Join(paths.Datastore(), "state.db"))
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.NewOffsetWriter(file, first), rand.Reader, info.Size()-first); err != nil {
		t.Fatal(err)
	}
}
