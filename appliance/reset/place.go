package reset

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// planPlaces removes our files from directories that others use, then those directories that are
// empty and were not there before.
func (b builder) planPlaces() {
	for _, file := range b.target.single() {
		had := b.past.known && b.past.had(file)
		if b.now.Paths[file].Exists && !had {
			b.remove(phaseFiles, file, "delete")
		}
	}
	b.planLeftovers()
	if b.now.Paths[shimState].Exists && !b.past.had(shimState) {
		b.remove(phaseFiles, shimState, "delete runc's state of our containers")
	}
	for _, dir := range b.target.shared() {
		if b.now.Paths[dir].Exists && !b.past.had(dir) && !b.mountPoint(dir) {
			b.step(phaseFiles, KindDirectory, dir, "delete if it is empty", func(context.Context) error { return removeEmpty(dir) })
		}
	}
}

// planLeftovers removes the entries of shared directories that are ours.
func (b builder) planLeftovers() {
	entries := func(dir string) (paths []string) {
		for _, name := range b.now.Paths[dir].Entries {
			if !slices.Contains(b.past.Paths[dir].Entries, name) {
				paths = append(paths, filepath.Join(dir, name))
			}
		}
		return paths
	}
	for _, path := range entries(netnsDir) {
		if isPodNamespace(path) && !b.mountPoint(path) {
			b.remove(phaseFiles, path, "delete the name of a network namespace that is gone")
		}
	}
	for _, path := range entries(cniResults) {
		if r, ok := b.now.Results[path]; ok && r.ours() {
			b.removeIf(path, "delete a pod's network record", r.gone)
		}
	}
	for _, path := range entries(podLogLinks) {
		if under(b.now.LogLinks[path], b.target.Layout.StateDir) {
			b.remove(phaseFiles, path, "delete the link to a container's log")
		}
	}
	for _, path := range entries(shimSockets) {
		b.removeIf(path, "delete a shim's socket, if nobody listens on it", func() bool { return abandoned(path) })
	}
}

// removeIf plans to remove what will prove to be ours only when everything of ours has ended.
func (b builder) removeIf(path, detail string, ours func() bool) {
	b.step(phaseFiles, KindFile, path, detail, func(ctx context.Context) error {
		if !ours() {
			return nil
		}
		return removeAll(ctx, path)
	})
}

func (b builder) mountPoint(path string) bool {
	return slices.ContainsFunc(b.now.Mounts, func(m Mount) bool { return m.Point == path })
}

// Result is libcni's record of a connected pod.
type Result struct {
	Network string `json:"networkName"`
	Netns   string `json:"netns"`
}

// ours: the record of a pod's loopback device does not name our network.
func (r Result) ours() bool {
	return r.Network == "islet" || r.Network == "cni-loopback" && isPodNamespace(strings.TrimPrefix(r.Netns, "/var"))
}

// gone says whether the pod's network namespace no longer exists: another engine's pods are alive.
func (r Result) gone() bool {
	_, err := os.Stat(r.Netns)
	return r.Network == "islet" || errors.Is(err, os.ErrNotExist)
}

func observeResults() (map[string]Result, error) {
	files, err := filepath.Glob(filepath.Join(cniResults, "*"))
	results := map[string]Result{}
	for _, file := range files {
		var r Result
		if data, err := os.ReadFile(file); err == nil && json.Unmarshal(data, &r) == nil { // others may be at work
			results[file] = r
		}
	}
	return results, err
}

func observeLogLinks() (map[string]string, error) {
	files, err := filepath.Glob(filepath.Join(podLogLinks, "*"))
	links := map[string]string{}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil {
			links[file] = target
		}
	}
	return links, err
}

// abandoned says whether path is a socket that refuses connections.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unix", path) //nolint:noctx // a local socket answers or refuses at once
	if err == nil {
		_ = conn.Close()
		return false
	}
	return true
}
