package lab

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"

	"islet/appliance/atomicfile"
)

// Open returns the lab of that name in the default places.
func Open(name string) (*Lab, error) { return DefaultLayout().Open(name) }

// List returns every lab in the default places that Open can open, by name.
func List() ([]*Lab, error) { return DefaultLayout().List() }

// whereabouts is kept in the run directory, so that a lab can be found whose StateDir is not the default.
type whereabouts struct {
	StateDir string `json:"stateDir"`
}

// Open returns the lab of that name, in the layout's StateDir or in that which its Up was given.
func (l Layout) Open(name string) (*Lab, error) {
	if err := checkLabName(name); err != nil {
		return nil, err
	}
	l = l.locate(name)
	lab := &Lab{layout: l, log: slog.New(slog.DiscardHandler)}
	err := readJSON(l.spec(name), &lab.record)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: lab %s", ErrNotFound, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open lab %s: %w", name, err)
	}
	return lab, nil
}

func (l Layout) locate(name string) Layout {
	var where whereabouts
	if err := readJSON(l.whereabouts(name), &where); err == nil && where.StateDir != "" {
		l.StateDir = where.StateDir
	}
	return l
}

// List returns every lab that Open can open, by name. Remains of others are left to DownAll.
func (l Layout) List() ([]*Lab, error) {
	names, err := l.names()
	if err != nil {
		return nil, err
	}
	var labs []*Lab
	for _, name := range names {
		lab, err := l.Open(name)
		if errors.Is(err, ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		labs = append(labs, lab)
	}
	return labs, nil
}

func writeJSON(path string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return atomicfile.Write(path, append(content, '\n'), 0o600)
}

func readJSON(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("decode %s: %w", path, err)
	}
	return nil
}
