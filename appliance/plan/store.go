package plan

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"islet/appliance/atomicfile"
	"islet/appliance/install"
	"islet/appliance/layout"
)

// kept is how many journals stay; the oldest goes when a new plan begins.
const kept = 20

// maxBytes bounds what is read of a journal: one has a few kilobytes.
const maxBytes = 1 << 20

// ErrUnknown is returned for a plan that is not kept, or not any more.
var ErrUnknown = errors.New("no such plan")

// List reads the journals of a machine, the newest first. A file that cannot be read is told of beside the others. Of a plan
// whose process is gone it says that it was interrupted, and only the newest has a command to go on with: what came later
// counts.
func List(l layout.Layout) ([]Journal, error) {
	names, err := entries(l)
	all := []Journal{}
	errs := []error{err}
	for _, name := range slices.Backward(names) {
		j, err := read(filepath.Join(l.Plans(), name))
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if len(all) > 0 || !j.Unfinished() {
			j.Resume = nil
		}
		all = append(all, j)
	}
	return all, errors.Join(errs...)
}

// Find is one of them.
func Find(all []Journal, id string) (Journal, error) {
	i := slices.IndexFunc(all, func(j Journal) bool { return j.ID == id })
	if i < 0 {
		return Journal{}, fmt.Errorf("%w: %q", ErrUnknown, id)
	}
	return all[i], nil
}

// entries are the names of the files, the oldest first.
func entries(l layout.Layout) ([]string, error) {
	found, err := os.ReadDir(l.Plans())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range found {
		if strings.HasSuffix(e.Name(), ".json") && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func read(path string) (Journal, error) {
	var j Journal
	if info, err := os.Stat(path); err == nil && info.Size() > maxBytes {
		return j, fmt.Errorf("%s has %d bytes, which no journal has", path, info.Size())
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("decode %s: %w", path, err)
	}
	if j.State == Running && !j.Process.Alive() {
		j.State = Interrupted
		for i := range j.Steps {
			if j.Steps[i].State == Running {
				j.Steps[i].State = Interrupted
			}
		}
	}
	return j, nil
}

// Store is where the journals of a machine are kept.
type Store struct {
	Layout layout.Layout
	Now    func() time.Time // nil for the clock
}

// Time is now, as it is written.
func (s Store) Time() time.Time {
	if s.Now == nil {
		return time.Now().UTC().Truncate(time.Millisecond)
	}
	return s.Now().UTC()
}

// Unfinished says whether the newest plan has not come to its end.
func (s Store) Unfinished() bool {
	all, _ := List(s.Layout) // one that cannot be read is none that goes on
	return len(all) > 0 && all[0].Unfinished()
}

// Begin completes the journal of a plan that this process is about to carry out. Nothing is written yet: the machine may have
// no place for it before the first step.
func (s Store) Begin(j *Journal, steps []install.Step) *Journal {
	j.Begun, j.State, j.Process = s.Time(), Running, thisProcess()
	j.ID, j.Steps = newID(s.Layout, j.Kind, j.Begun), begin(steps)
	return j
}

// Write replaces a journal, and drops the oldest where there are too many. Where the machine has no journal at all nothing is
// kept: what was done is undone, and shall leave nothing behind.
func (s Store) Write(j Journal) error {
	if _, err := os.Stat(s.Layout.Journal()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	if err := os.Mkdir(s.Layout.Plans(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := atomicfile.Write(filepath.Join(s.Layout.Plans(), j.ID+".json"), append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("keep the journal of this plan: %w", err)
	}
	return s.prune()
}

// prune removes the oldest journals.
func (s Store) prune() error {
	names, err := entries(s.Layout)
	for _, name := range names[:max(0, len(names)-kept)] {
		err = errors.Join(err, os.Remove(filepath.Join(s.Layout.Plans(), name)))
	}
	return err
}

// idTime is how the beginning of a plan stands in its ID.
const idTime = "20060102T150405.000Z"

// newID is a name that sorts behind those of all earlier plans, though the clock may have been set back since.
func newID(l layout.Layout, kind Kind, at time.Time) string {
	names, _ := entries(l) // what cannot be read is not sorted either
	if len(names) > 0 {
		stamp, _, _ := strings.Cut(names[len(names)-1], "-")
		if last, err := time.Parse(idTime, stamp); err == nil && at.Sub(last) < time.Millisecond {
			at = last.Add(time.Millisecond)
		}
	}
	return at.UTC().Format(idTime) + "-" + string(kind)
}
