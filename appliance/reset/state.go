package reset

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"islet/systemd"
)

// State is what of a machine the platform has a part in. The journal holds the state from before.
type State struct {
	Mounts   []Mount           `json:"mounts"`
	Links    []Link            `json:"links"`
	Routes   []Route           `json:"routes"`
	Tables   []Table           `json:"nftables"`
	Sets     []string          `json:"ipsets"`
	Settings map[string]string `json:"settings"` // value by path below /proc/sys
	Groups   []string          `json:"controlGroups"`
	Paths    map[string]Path   `json:"paths"`
	// Of what is in shared directories, that which tells whose it is; by path.
	Results  map[string]Result `json:"-"`
	LogLinks map[string]string `json:"-"`
}

// Path is a file or directory that the platform makes where it is missing.
type Path struct {
	Exists  bool     `json:"exists"`
	Entries []string `json:"entries,omitempty"` // names in a directory
}

// Observe looks at the machine; it changes nothing.
func Observe(t Target) (State, error) {
	var s State
	var errs []error
	for what, look := range map[string]func() error{
		"mounts":          func() (err error) { s.Mounts, err = observeMounts(); return err },
		"links":           func() (err error) { s.Links, err = observeLinks(); return err },
		"routes":          func() (err error) { s.Routes, err = observeRoutes(); return err },
		"nftables":        func() (err error) { s.Tables, err = observeTables(); return err },
		"ip sets":         func() (err error) { s.Sets, err = observeSets(); return err },
		"kernel settings": func() (err error) { s.Settings, err = observeSettings(); return err },
		"control groups":  func() (err error) { s.Groups, err = observeGroups(); return err },
		"network records": func() (err error) { s.Results, err = observeResults(); return err },
		"links to logs":   func() (err error) { s.LogLinks, err = observeLogLinks(); return err },
		"files":           func() (err error) { s.Paths, err = observePaths(t); return err },
	} {
		if err := look(); err != nil {
			errs = append(errs, fmt.Errorf("look at the machine's %s: %w", what, err))
		}
	}
	return s, errors.Join(errs...)
}

func observePaths(t Target) (map[string]Path, error) {
	paths := map[string]Path{}
	add := func(path string, list bool) error {
		p, err := observePath(path, list)
		paths[path] = p
		return err
	}
	var errs []error
	for _, path := range append(t.roots(), netnsDir, cniResults, podLogLinks, shimSockets) {
		errs = append(errs, add(path, true))
	}
	others := slices.Concat(t.single(), t.shared(), t.above(), []string{shimState, systemd.UnitPath, systemd.Executable})
	for _, path := range others {
		if _, known := paths[path]; !known {
			errs = append(errs, add(path, false))
		}
	}
	return paths, errors.Join(errs...)
}

func observePath(path string, list bool) (Path, error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return Path{}, nil
	}
	if err != nil {
		return Path{}, err
	}
	p := Path{Exists: true}
	if !list || !info.IsDir() {
		return p, nil
	}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		p.Entries = append(p.Entries, e.Name())
	}
	return p, err
}
