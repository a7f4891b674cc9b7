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
	"path/filepath"
	"strings"

	"islet/appliance/component"
	"islet/appliance/layout"
)

// Name is the datastore's name in the supervisor.
const Name = "kine"

// ErrDamaged is returned for a database whose pages or indices do not agree. Its text crosses the
// border between the store engine and the daemon.
var ErrDamaged = errors.New("the database is damaged")

// Report is what the store engine says about a database that is sound.
type Report struct {
	Path     string `json:"path"`
	Revision int64  `json:"revision"` // the newest in it
	Rows     int64  `json:"rows"`     // 0 before the first write
	Bytes    int64  `json:"bytes"`
}

// Params is what the datastore is told.
type Params struct {
	Layout layout.Layout
	Ring   Ring
	Log    *slog.Logger
	Child  func(name string, args ...string) component.Spec
	// Restored is called when a snapshot took the place of the database; may be nil.
	Restored func(Restoration)
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
	found, err := p.examine(ctx)
	if err != nil || found == "" {
		return err
	}
	return p.restore(ctx, found)
}

// examine says what is wrong with the database in a way that a snapshot mends; empty when it may be
// used. A database that is not there, or in which nothing was ever written, is what a first start
// finds, and also what is left by a power cut in the middle of a restoration: the ring tells which.
func (p Params) examine(ctx context.Context) (string, error) {
	database := Database(p.Layout)
	report := Report{Path: database}
	_, err := os.Stat(database)
	if err == nil {
		report, err = p.tool(ctx, "check", database)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist): // no rows
	case errors.Is(err, ErrDamaged):
		return err.Error(), nil
	case err != nil:
		return "", err
	case report.Rows > 0:
		return "", nil
	}
	if _, err := p.Ring.Newest(); errors.Is(err, ErrNoSnapshot) {
		return "", nil
	}
	return "there is nothing in " + report.Path + ", though there are snapshots of it", nil
}

// tool runs the store engine for one answer.
func (p Params) tool(ctx context.Context, args ...string) (Report, error) {
	var report Report
	out, err := component.Output(ctx, p.Child(Name, args...))
	if err != nil && strings.Contains(err.Error(), ErrDamaged.Error()) {
		return report, damagedError{strings.TrimPrefix(err.Error(), "kine: ")}
	}
	if err != nil {
		return report, err
	}
	if err := json.Unmarshal(out, &report); err != nil {
		return report, fmt.Errorf("read the store engine's answer: %w", err)
	}
	return report, nil
}

// damagedError is ErrDamaged in the words of the store engine.
type damagedError struct{ text string }

func (e damagedError) Error() string { return e.text }

func (e damagedError) Is(target error) bool { return target == ErrDamaged }
