package datastore

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"

	"islet/appliance/atomicfile"
	"islet/appliance/component"
	"islet/appliance/layout"
)

// ExternalVerb is what kine is told first for a site's own database.
const ExternalVerb = "external"

// External is a database of the site's own.
type External struct {
	Endpoint string // without its password
	Files    Credentials
	Identity string // of the site, hexadecimal: another one's database is refused
}

// args are those that every verb of the store engine's program takes.
func (e External) args() []string {
	args := []string{"--endpoint", e.Endpoint, "--identity", e.Identity}
	for _, f := range []struct{ flag, path string }{
		{"--password-file", e.Files.Password}, {"--ca", e.Files.CA}, {"--cert", e.Files.Cert}, {"--key", e.Files.Key},
	} {
		if f.path != "" {
			args = append(args, f.flag, f.path)
		}
	}
	return args
}

// databaseState is where the store engine keeps what it last found.
func databaseState(l layout.Layout) string { return filepath.Join(l.RunDir, "database.json") }

// ReadDatabase returns what the store engine last found; an error that wraps fs.ErrNotExist before it has looked.
func ReadDatabase(l layout.Layout) (DatabaseReport, error) {
	var r DatabaseReport
	content, err := os.ReadFile(databaseState(l))
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(content, &r)
}

// Database asks whether the site can be kept in the database.
func (p Params) Database(ctx context.Context) (DatabaseReport, error) {
	return ask[DatabaseReport](ctx, p, KineName, append([]string{ExternalVerb, "inspect"}, p.External.args()...)...)
}

// externalKine is kine on the site's own database. It checks the database at its start, and goes on looking after it.
func externalKine(p Params) component.Unit {
	socket, state := p.Layout.KineSocket(), databaseState(p.Layout)
	return component.Unit{New: func() component.Component {
		args := append([]string{ExternalVerb, "serve", "--listen", socket, "--state", state}, p.External.args()...)
		spec := p.Child(KineName, args...)
		spec.Prepare = func(context.Context) error {
			if err := os.MkdirAll(p.Layout.Datastore(), 0o700); err != nil {
				return err
			}
			return errors.Join(removed(socket), removed(state))
		}
		spec.Probe = func(ctx context.Context) error { return dialSocket(ctx, socket) }
		spec.Check = func(context.Context) error {
			r, err := ReadDatabase(p.Layout)
			if err == nil && r.Trouble != "" && !r.Serves {
				err = errors.New(r.Wrong())
			}
			return err
		}
		return component.NewProcess(spec)
	}}
}

func removed(path string) error {
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func dialSocket(ctx context.Context, socket string) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	return conn.Close()
}

// externalStore has nothing on this machine but a note of where everything is.
type externalStore struct{ p Params }

// Note is what a backup holds instead of a database that is elsewhere.
type Note struct {
	Endpoint string         `json:"endpoint"`
	Found    DatabaseReport `json:"found"` // when the note was made
}

func (s externalStore) path() string { return filepath.Join(s.p.Layout.Datastore(), "external.json") }

func (s externalStore) endings() []string { return []string{""} }

func (s externalStore) check(context.Context) (Report, error) { return CheckNote(s.path()) }

func (s externalStore) snapshot(ctx context.Context, copy string) (Report, error) {
	found, err := s.p.Database(ctx)
	if err != nil {
		return Report{}, err
	}
	if !found.Serves {
		return Report{}, errors.New(found.Wrong())
	}
	content, err := json.MarshalIndent(Note{s.p.External.Endpoint, found}, "", "  ")
	if err != nil {
		return Report{}, err
	}
	if err := atomicfile.Write(copy, append(content, '\n'), 0o600); err != nil {
		return Report{}, err
	}
	return CheckNote(copy)
}

func (s externalStore) candidate(context.Context, string, string) error {
	return errors.New("a database of the site's own is restored with its own tools")
}

// CheckNote reads the note of a site's own database.
func CheckNote(path string) (Report, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return Report{Path: path}, err
	}
	var n Note
	if err := json.Unmarshal(content, &n); err != nil || n.Endpoint == "" {
		return Report{Path: path}, ErrDamaged
	}
	return Report{Path: path, Revision: n.Found.Revision, Bytes: int64(len(content))}, nil
}
