package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/config"
)

// TestBackupCopies loses the disk of a site's only voter, and brings the site back from the copy of its backup that the other
// server has.
func TestBackupCopies(t *testing.T) {
	t.Parallel()
	all := bootSite(t, "copies", 2, func(c *config.Config) { c.Datastore.Store = config.StoreEtcd })
	f := &fleet{servers: all}
	defer func() {
		for _, p := range all {
			p.diagnose(t)
		}
	}()
	first, second := all[0], all[1]
	await(t, siteLimit, "the first server is ready", first.ready)
	f.join(t, config.RoleServer, second)
	key := runJSON[struct{ RecoveryKey string }](t, first, "backup", "key", "create").RecoveryKey
	await(t, siteLimit, "the second server stands by", f.standsBy)
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	first.note(t, "before")
	made := runJSON[backupMade](t, first, "backup", "create")
	copied := f.awaitCopy(t, made)
	first.note(t, "after")
	if shown := second.run(t, "appliance", "backup", "key", "show"); shown != first.run(t, "appliance", "backup", "key", "show") {
		t.Errorf("the second server seals for %s", shown)
	}

	if err := first.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{paths.StateDir, paths.EtcDir} { // its disk is lost
		if err := os.RemoveAll(first.host.Path(dir)); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	content, err := second.host.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := first.host.WriteFile("/root/copy", content, 0o600); err != nil {
		t.Fatal(err)
	}
	first.writeKey(t, key)
	first.run(t, "appliance", "backup", "restore", "/root/copy", "--key", "/root/key", "--yes")
	if err := first.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, siteLimit, "the restored server is ready", first.ready)
	t.Logf("restored from the copy, and ready, within %s", time.Since(begun).Round(10*time.Millisecond))
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	configs := first.kube.CoreV1().ConfigMaps("default")
	if _, err := configs.Get(t.Context(), "before", metav1.GetOptions{}); err != nil {
		t.Errorf("what was written before the backup: %v", err)
	}
	if _, err := configs.Get(t.Context(), "after", metav1.GetOptions{}); err == nil {
		t.Error("what was written after the backup is there: this is not what was restored")
	}
	// The second server's copy of the datastore is of the site that was lost: it gets that of the restored one by itself.
	await(t, siteLimit, "the second server stands by again", f.standsBy)
	awaitDatastore(t, siteLimit, first, 2, 1, 1, 0)
	t.Logf("the second server has followed within %s", time.Since(begun).Round(10*time.Millisecond))
}

type backupMade struct{ Path, SHA256 string }

// standsBy complains unless the second server is ready but for its vote.
func (f *fleet) standsBy(ctx context.Context) error {
	s, err := f.servers[1].daemon().Status(ctx)
	if err == nil && (!s.Ready || !s.Standby) {
		err = fmt.Errorf("ready %t, standby %t", s.Ready, s.Standby)
	}
	return err
}

// awaitCopy waits until all machines have a backup of the first server, as the last one tells, and returns where.
func (f *fleet) awaitCopy(t *testing.T, made backupMade) (path string) {
	t.Helper()
	type row struct {
		Of, SHA256 string
		Copies     []struct {
			Node, Path string
			Verified   bool
		}
	}
	last := f.servers[len(f.servers)-1]
	took := awaitJSON(t, siteLimit, "the backup is on all machines", last, []string{"backup", "list"}, func(rows []row) error {
		for _, r := range rows {
			if r.SHA256 != made.SHA256 {
				continue
			}
			verified := 0
			for _, c := range r.Copies {
				if c.Verified {
					verified++
				}
				if c.Node == last.host.Name() {
					path = c.Path
				}
			}
			if verified != len(f.all()) {
				return fmt.Errorf("%+v", r)
			}
			return nil
		}
		return fmt.Errorf("%s is not listed", filepath.Base(made.Path))
	})
	t.Logf("the backup is on %d machines after %s", len(f.all()), took.Round(10*time.Millisecond))
	return path
}
