package e2e

import (
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const writers = 4

// cutLoad cuts the power while ConfigMaps are written, as soon as the API server takes them again after each cut.
func (c *cutter) cutLoad(t *testing.T) {
	for range c.left {
		if err := c.connect(); err != nil { // connections of before the cut lead nowhere
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		acknowledged, ended := c.write(ctx)
		var first string
		select {
		case first = <-acknowledged:
		case <-time.After(readyLimit):
			stop()
			ended()
			t.Fatalf("nothing could be written for %s", readyLimit)
		}
		collected := make(chan struct{})
		go func() {
			defer close(collected)
			c.acknowledged[first] = first
			for name := range acknowledged {
				c.acknowledged[name] = name
			}
		}()
		c.cut(t, c.within(0, 3*time.Second), "under load")
		stop()
		ended()
		<-collected
	}
	c.left = 0
}

// write creates ConfigMaps until ctx ends, and sends the name of each that the API server has acknowledged.
func (c *cutter) write(ctx context.Context) (acknowledged chan string, ended func()) {
	acknowledged = make(chan string, 1024)
	configs := c.kube.CoreV1().ConfigMaps("default")
	var running sync.WaitGroup
	for range writers {
		running.Go(func() {
			for ctx.Err() == nil {
				name := "load-" + strings.ToLower(rand.Text())
				attempt, cancel := context.WithTimeout(ctx, 2*time.Second) // also the pause while nothing listens yet
				_, err := configs.Create(attempt, &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"name": name},
				}, metav1.CreateOptions{})
				if err == nil {
					acknowledged <- name
				} else {
					awaitTick(attempt)
				}
				cancel()
			}
		})
	}
	return acknowledged, func() {
		running.Wait()
		close(acknowledged)
	}
}

// awaitTick keeps a refused writer from spinning.
func awaitTick(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(pollInterval):
	}
}

// compare looks for every acknowledged write.
func (c *cutter) compare(t *testing.T) {
	t.Helper()
	list, err := c.kube.CoreV1().ConfigMaps("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]string{}
	for _, config := range list.Items {
		there[config.Name] = config.Data["name"]
	}
	lost := 0
	for name, content := range c.acknowledged {
		if there[name] != content {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d acknowledged writes are lost", lost, len(c.acknowledged))
	}
}

// checkDisk has the staged store engine check a copy of the database of a host that is off.
func (p *platform) checkDisk(t *testing.T) string {
	t.Helper()
	kine := p.host.Path(filepath.Join(paths.Bin(), "kine"))
	if _, err := os.Stat(kine); errors.Is(err, fs.ErrNotExist) {
		return "no engines yet"
	}
	dir := t.TempDir()
	for _, name := range []string{"state.db", "state.db-wal"} {
		content, err := os.ReadFile(p.host.Path(filepath.Join(paths.Datastore(), name)))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(dir, "state.db")
	if _, err := os.Stat(copied); err != nil {
		return "no database yet"
	}
	out, err := exec.CommandContext(t.Context(), kine, "check", copied).CombinedOutput()
	if err != nil {
		t.Errorf("the database is not sound: %v: %s", err, out)
	}
	_ = os.RemoveAll(dir)
	return strings.TrimSpace(strings.ReplaceAll(string(out), dir, ""))
}
