package datastore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// A site that has lost the majority of its servers is recovered on one of them, whose copy becomes the datastore. The others
// may come back with theirs: two of them would be a majority again, of a site that is no more. So each recovery begins a new
// generation, and a server whose copy is of an older one than another server's gets everything anew.

func recoverFile(l layout.Layout) string    { return filepath.Join(l.Datastore(), "recover") }
func generationFile(l layout.Layout) string { return filepath.Join(l.Datastore(), "generation") }

// AskRecovery has etcd begin anew with this server as its only member when it starts the next time, with all that is in its
// copy. It is for a site that has lost the majority of its servers.
func AskRecovery(l layout.Layout) error {
	return atomicfile.Write(recoverFile(l), []byte("asked for\n"), 0o600)
}

// recovering says whether that was asked for.
func (p Params) recovering() bool {
	_, err := os.Stat(recoverFile(p.Layout))
	return err == nil
}

// recovered begins a new generation, once etcd runs alone.
func (p Params) recovered(ctx context.Context) error {
	if !p.recovering() {
		return nil
	}
	own, err := Generation(p.Layout)
	if err != nil {
		return err
	}
	next := max(own, p.Etcd.Newest(ctx)) + 1
	if err := p.setGeneration(next); err != nil {
		return err
	}
	p.Log.Warn("the datastore goes on with this server's copy alone", "generation", next)
	return os.Remove(recoverFile(p.Layout))
}

// Generation counts the recoveries that this server's copy has seen.
func Generation(l layout.Layout) (int, error) {
	path := generationFile(l)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s is damaged: write the number into it that the other servers have there: %w", path, err)
	}
	return n, nil
}

func (p Params) setGeneration(n int) error {
	return atomicfile.WriteIfChanged(generationFile(p.Layout), fmt.Appendf(nil, "%d\n", n), 0o600)
}

// outdated says by an error whether another server's copy is of a later generation, and returns the newest.
func (p Params) outdated(ctx context.Context) (newest int, found error, err error) {
	own, err := Generation(p.Layout)
	if err != nil || len(p.Etcd.Others()) == 0 || p.recovering() {
		return own, nil, err
	}
	if newest = p.Etcd.Newest(ctx); newest > own {
		return newest, fmt.Errorf("the site was recovered without this server: its copy is of generation %d, and the site's of %d", own, newest), nil
	}
	return own, nil, nil
}
