// Package datastore is where a site's state is kept. One server keeps it in SQLite, served by kine;
// the database is opened by the store engine only.
package datastore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"islet/appliance/component"
	"islet/appliance/layout"
)

// Name is the datastore's name in the supervisor.
const Name = "kine"

// Params is what the datastore is told.
type Params struct {
	Layout layout.Layout
	Ring   Ring
	Log    *slog.Logger
	Child  func(name string, args ...string) component.Spec
	// Restored is called when a damaged database was replaced; what was lost is in the report.
	Restored func(Restoration)
}

// Restoration tells what happened to a damaged database.
type Restoration struct {
	At       time.Time `json:"at"`
	Found    string    `json:"found"`    // what is wrong with it
	Kept     string    `json:"kept"`     // where it was put aside
	Snapshot string    `json:"snapshot"` // what took its place; empty when there was none
	Taken    time.Time `json:"taken"`    // when the snapshot was taken: later writes are lost
}

// Report is what the store engine says about a database.
type Report struct {
	Path     string `json:"path"`
	Revision int64  `json:"revision"`
	Rows     int64  `json:"rows"`
	Bytes    int64  `json:"bytes"`
}

// Database is the SQLite file.
func Database(l layout.Layout) string { return filepath.Join(l.Datastore(), "state.db") }

// URL is the datastore as the API server takes it.
func URL(l layout.Layout) string { return "unix://" + l.KineSocket() }

// Kine returns the unit of kine on SQLite. Before each start the database is checked; a damaged one
// is put aside and the newest sound snapshot takes its place (LESSONS 20).
func Kine(p Params) component.Unit {
	database, socket := Database(p.Layout), p.Layout.KineSocket()
	return component.Unit{New: func() component.Component {
		spec := p.Child(Name, "serve", "--database", database, "--listen", socket)
		spec.Prepare = p.prepare
		spec.Probe = func(ctx context.Context) error {
			conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
			if err != nil {
				return err
			}
			return conn.Close()
		}
		return component.NewProcess(spec)
	}}
}

func (p Params) prepare(ctx context.Context) error {
	if err := os.MkdirAll(p.Layout.Datastore(), 0o700); err != nil {
		return err
	}
	if err := os.Remove(p.Layout.KineSocket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	database := Database(p.Layout)
	if _, err := os.Stat(database); errors.Is(err, fs.ErrNotExist) {
		return nil // the first start
	}
	_, err := p.tool(ctx, "check", database)
	if err == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	if !strings.Contains(err.Error(), "the database is damaged") {
		return err
	}
	return p.restore(err.Error())
}

// restore puts the newest snapshot in the place of a damaged database. Without a snapshot it starts
// nothing: an empty cluster in the place of a damaged one would delete every pod on the node.
func (p Params) restore(found string) error {
	done := Restoration{At: time.Now(), Found: found}
	newest, err := p.Ring.Newest()
	if err != nil {
		return fmt.Errorf("%s; and no snapshot can take its place: %w", found, err)
	}
	done.Snapshot, done.Taken = newest.Path, newest.Taken
	database := Database(p.Layout)
	done.Kept = fmt.Sprintf("%s.damaged-%s", database, done.At.UTC().Format(stamp))
	if err := os.Rename(database, done.Kept); err != nil {
		return err
	}
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Rename(database+suffix, done.Kept+suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := copyFile(newest.Path, database); err != nil {
		return fmt.Errorf("restore %s: %w", newest.Path, err)
	}
	p.Log.Error("datastore restored from a snapshot", "found", found, "snapshot", newest.Path, "taken", newest.Taken, "kept", done.Kept)
	if p.Restored != nil {
		p.Restored(done)
	}
	return nil
}

// tool runs the store engine for one answer.
func (p Params) tool(ctx context.Context, args ...string) (Report, error) {
	var report Report
	spec := p.Child(Name, args...)
	cmd := exec.CommandContext(ctx, spec.Args[0], spec.Args[1:]...)
	cmd.Env = spec.Env
	var problem strings.Builder
	cmd.Stderr = &problem
	out, err := cmd.Output()
	if err != nil {
		return report, fmt.Errorf("%s: %w", strings.TrimSpace(strings.TrimPrefix(problem.String(), "kine: ")), err)
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return report, fmt.Errorf("read the store engine's answer: %w", err)
	}
	return report, nil
}
