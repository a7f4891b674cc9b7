package server

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"islet/appliance/config"
	"islet/appliance/reset"
)

// A daemon that starts while a reset is not finished makes nothing that the reset would have to see.
func TestClaimRefusesDuringReset(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := config.Default()
	c.Paths.StateDir, c.Paths.RunDir = dir+"/state", dir+"/run"
	n := &node{Options: Options{Config: c, EtcDir: dir + "/etc", Log: slog.New(slog.DiscardHandler)}, layout: c.Layout(dir + "/etc")}
	if err := os.MkdirAll(n.layout.Journal(), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(n.layout.Journal(), "reset.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the lock is free again
		if _, err := n.claim(); !errors.Is(err, reset.ErrBegun) {
			t.Fatalf("got %v, want ErrBegun", err)
		}
	}
	entries, err := os.ReadDir(n.layout.StateDir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the state directory has %v, %v, want the journal alone", entries, err)
	}
}
