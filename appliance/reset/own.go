package reset

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/layout"
	"islet/systemd"
)

// children are the entries of the state directory that are deleted where nothing is known of the time
// before; they must all be named in package layout.
func children(l layout.Layout) []string {
	var names []string
	for _, path := range []string{
		l.Engines(), l.Containerd(), l.Kubelet(), l.Datastore(), l.PKI(), l.Generated(), l.Backups(), l.Registry(), l.Journal(), l.Logs(), l.Storage(), l.Tmp(), l.Servers(), l.Fetched(),
	} {
		names = append(names, filepath.Base(path))
	}
	return names
}

// planOwn removes the node's own directories. The order makes it safe to stop anywhere: the journal
// outlives everything that only it tells, and the daemon's lock is held to the end.
func (b builder) planOwn() {
	l := b.target.Layout
	journal, lock := filepath.Base(l.Journal()), filepath.Base(l.Lock())
	b.planStorage()
	b.planEntries(phaseFiles, l.StateDir, journal)
	b.planEntries(phaseFiles, l.RunDir, lock)
	b.planConfig()
	if b.now.Paths[systemd.Executable].Exists && !b.past.had(systemd.Executable) {
		b.remove(phaseEnd, systemd.Executable, "delete the program that `appliance install` put there")
	}
	if slices.Contains(b.now.Paths[l.StateDir].Entries, journal) {
		b.remove(phaseEnd, l.Journal(), "delete the journal")
	}
	b.planDir(l.StateDir)
	if slices.Contains(b.now.Paths[l.RunDir].Entries, lock) {
		b.remove(phaseEnd, l.Lock(), "delete the daemon's lock")
	}
	b.planDir(l.RunDir)
	for _, dir := range b.target.above() {
		if b.past.known {
			b.planDir(dir)
		}
	}
}

// planConfig removes the configuration.
func (b builder) planConfig() {
	l := b.target.Layout
	var except []string
	if b.options.KeepConfig {
		except = []string{filepath.Base(l.Config()), filepath.Base(l.TrustDir())}
		b.keep(l.Config(), "asked for with --keep-config")
	}
	b.planEntries(phaseEnd, l.EtcDir, except...)
	b.planDir(l.EtcDir)
}

// had says whether an entry of a directory of ours may have been there before. Without a journal, ours
// are those that have the name of something of ours.
func (b builder) had(dir, name string) bool {
	switch {
	case b.past.known:
		return slices.Contains(b.past.Paths[dir].Entries, name)
	case dir == b.target.Layout.StateDir:
		return !slices.Contains(children(b.target.Layout), name)
	case dir == b.target.Storage:
		return !strings.HasPrefix(name, "pvc-") // as the provisioner names volumes
	case dir == b.target.Layout.EtcDir:
		l := b.target.Layout
		return !slices.ContainsFunc([]string{l.AdminKubeconfig(), l.Config(), l.Joining(), l.Installing()}, func(path string) bool { return filepath.Base(path) == name })
	}
	return false
}

// earlier is the reason to keep what had says was there.
func (b builder) earlier() string {
	if b.past.known {
		return "it was here before the node"
	}
	return "it may have been here before the node"
}

// planEntries removes what is in a directory of ours and was not there before.
func (b builder) planEntries(phase int, dir string, except ...string) {
	for _, name := range b.now.Paths[dir].Entries {
		path := filepath.Join(dir, name)
		switch {
		case slices.Contains(except, name), path == b.target.Storage:
		case b.options.KeepVolumes && under(b.target.Storage, path):
			b.keep(path, "the volumes are in it")
		case b.had(dir, name):
			b.keep(path, b.earlier())
		case b.mountPoint(path) && !b.target.ours(Mount{Point: path}):
			// planMounts tells
		default:
			b.remove(phase, path, "delete")
		}
	}
}

// planDir removes a directory of ours, unless it was there before or must stay for what is in it.
func (b builder) planDir(dir string) {
	had := b.past.known && b.past.had(dir)
	if b.now.Paths[dir].Exists && !had && !b.mountPoint(dir) {
		b.step(phaseEnd, KindDirectory, dir, "delete if it is empty", func(context.Context) error { return removeEmpty(dir) })
	}
}

// planStorage decides about the volumes: they go with the state directory they are in; elsewhere they
// are kept, unless told otherwise.
func (b builder) planStorage() {
	t := b.target
	p := b.now.Paths[t.Storage]
	volumes := fmt.Sprintf("%d volumes", len(p.Entries))
	switch {
	case !p.Exists:
	case b.options.KeepVolumes:
		b.keep(t.Storage, volumes+", asked for with --keep-volumes")
	case !t.ownVolumes() && !b.options.DeleteVolumes && len(p.Entries) > 0:
		b.keep(t.Storage, volumes+" outside of the state directory; --delete-volumes deletes them")
	default:
		b.planEntries(phaseFiles, t.Storage)
		b.planDir(t.Storage)
	}
}
