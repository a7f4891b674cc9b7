package server

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/layout"
)

func TestBackupDue(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 2, 12, 0, 0, 0, time.UTC)
	made := func(ago time.Duration, verified bool) backup.Kept {
		return backup.Kept{Entry: backup.Entry{Created: now.Add(-ago)}, Verified: verified}
	}
	for name, c := range map[string]struct {
		list []backup.Kept
		want bool
	}{
		"none":                 {nil, true},
		"a young one":          {[]backup.Kept{made(time.Hour, true)}, false},
		"an old one":           {[]backup.Kept{made(25*time.Hour, true)}, true},
		"a young one is bad":   {[]backup.Kept{made(time.Hour, false), made(25*time.Hour, true)}, true},
		"one from the future":  {[]backup.Kept{made(-time.Hour, true)}, false},
		"far from the future":  {[]backup.Kept{made(-25*time.Hour, true)}, true},
		"future and yesterday": {[]backup.Kept{made(-25*time.Hour, true), made(23*time.Hour, true)}, false},
	} {
		if got := backupDue(c.list, 24*time.Hour, now); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestJudgeBackups(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	withKey, without := layout.Layout{StateDir: dir + "/with"}, layout.Layout{StateDir: dir + "/without"}
	key, err := backup.NewKey()
	if err == nil {
		err = backup.SetSiteRecipient(withKey, key.Recipient())
	}
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	made := func(ago time.Duration) []api.Backup {
		return []api.Backup{{Of: "node1", Path: "/b/x.islet-backup", Created: now.Add(-ago), SHA256: "abc", Verified: true}}
	}
	elsewhere := []api.Report{{Status: api.Status{Node: api.Node{Name: "node2"}, Backups: made(time.Hour)}}}
	alone := []api.Report{{Status: api.Status{Node: api.Node{Name: "node2"}}}}
	for name, c := range map[string]struct {
		at       layout.Layout
		kept     []api.Backup
		failed   error
		uncopied map[string]string
		reports  []api.Report
		want     []string
	}{
		"no key":                   {at: without},
		"a new key":                {at: withKey},
		"copied":                   {at: withKey, kept: made(time.Hour), reports: elsewhere},
		"the only machine":         {at: withKey, kept: made(time.Hour)},
		"on no other machine":      {at: withKey, kept: made(time.Hour), reports: alone, want: []string{"backup-not-copied the newest backup of this server: x.islet-backup"}},
		"old":                      {at: withKey, kept: made(49 * time.Hour), want: []string{"backup-overdue this site: the newest is of " + now.Add(-49*time.Hour).Format(time.RFC3339)}},
		"failed":                   {at: withKey, failed: errors.New("no"), want: []string{"backup-overdue this site: there is none: no"}},
		"of another cannot be had": {at: withKey, uncopied: map[string]string{"node2": "full", "node3": ""}, want: []string{"backup-not-copied the newest backup of node2: full"}},
	} {
		got := judge(t, func(n *node) {
			n.Config, n.layout, n.derived.NodeName = config.Default(), c.at, "node1"
			b := &backups{node: n, kept: c.kept, failed: c.failed, uncopied: c.uncopied}
			b.judge(now, c.reports)
		})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestRoomFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := roomFor(dir, 1, 0); err != nil {
		t.Error(err)
	}
	if err := roomFor(dir, 1, 1<<60); !errors.Is(err, errNoRoom) {
		t.Errorf("%v, want %v", err, errNoRoom)
	}
	if err := roomFor(dir+"/none", 1, 0); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}
