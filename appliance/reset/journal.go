package reset

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// ErrBegun is returned to a daemon that starts while the machine is being taken apart.
var ErrBegun = errors.New("a reset of this machine has begun and is not finished")

// ErrNotNode is returned where there is nothing to reset.
var ErrNotNode = errors.New("this machine is not a node")

const journalVersion = 1

// Journal is what was on the machine before the platform was.
type Journal struct {
	Version   int       `json:"version"`
	Written   time.Time `json:"written"`
	BootID    string    `json:"bootID"`
	Appliance string    `json:"appliance"` // version of the program that wrote it
	Target    Target    `json:"target"`
	Before    State     `json:"before"`
}

func journalPath(l layout.Layout) string { return filepath.Join(l.Journal(), "machine.json") }
func fencePath(l layout.Layout) string   { return filepath.Join(l.Journal(), "reset.json") }

// Record writes the journal, unless there is one. Everything that changes the machine for the first
// time calls it first; created names the directories that the caller had to make before that.
func Record(t Target, version string, created ...string) error {
	path := journalPath(t.Layout)
	if _, err := os.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	before, err := Observe(t)
	if err != nil {
		return fmt.Errorf("record what was on this machine before: %w", err)
	}
	for _, dir := range created {
		before.Paths[dir] = Path{}
	}
	data, err := json.MarshalIndent(Journal{
		Version: journalVersion, Written: time.Now().UTC(), BootID: bootID(), Appliance: version, Target: t, Before: before,
	}, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(t.Layout.Journal(), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}

// ReadJournal returns the journal of a node, or an error that wraps fs.ErrNotExist.
func ReadJournal(l layout.Layout) (Journal, error) {
	var j Journal
	data, err := os.ReadFile(journalPath(l))
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("decode %s: %w", journalPath(l), err)
	}
	if j.Version != journalVersion {
		return j, fmt.Errorf("%s has version %d, this program knows %d: use the program that wrote it (%s)", journalPath(l), j.Version, journalVersion, j.Appliance)
	}
	return j, nil
}

// fence is what a reset in progress leaves for the daemon to find, and for the next reset.
type fence struct {
	Options Options `json:"options"`
}

// CheckFence returns ErrBegun between the begin and the end of a reset.
func CheckFence(l layout.Layout) error {
	if _, err := os.Stat(fencePath(l)); err == nil {
		return fmt.Errorf("%w (%s): run `appliance reset` to finish it", ErrBegun, fencePath(l))
	}
	return nil
}

func raiseFence(l layout.Layout, o Options) error {
	data, err := json.Marshal(fence{o})
	if err != nil {
		return err
	}
	return atomicfile.Write(fencePath(l), data, 0o600)
}

// readFence returns the options of the reset that was begun; ok is false when none was.
func readFence(l layout.Layout) (o Options, ok bool) {
	var f fence
	data, err := os.ReadFile(fencePath(l))
	if err != nil || json.Unmarshal(data, &f) != nil {
		return Options{}, false
	}
	return f.Options, true
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}

// past answers for the time before the node. Without a journal nothing is known of it, and then
// nothing that may have been there is touched.
type past struct {
	known bool
	State
}

func (p past) had(path string) bool { return !p.known || p.Paths[path].Exists }
