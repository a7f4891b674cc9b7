package content

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/atomicfile"
)

// Put records a manifest whose content, and all that it refers to, is in the store, and points the tag to it unless that
// is empty.
func (s *Store) Put(name, tag string, d digest.Digest, m Manifest) error {
	return s.change(name, func(r Repository) error {
		m.Changed, m.Deleted = s.since(r.Manifests[d].Changed), false
		r.Manifests[d] = m
		if tag != "" {
			r.Tags[tag] = Tag{Digest: d, Changed: s.since(r.Tags[tag].Changed)}
		}
		return nil
	})
}

// Delete removes a tag, or by its digest a manifest with all tags that point to it.
func (s *Store) Delete(name, reference string) error {
	return s.change(name, func(r Repository) error {
		d, m, err := r.Resolve(reference)
		if err != nil {
			return err
		}
		for tag, t := range r.Tags {
			if tag == reference || reference == string(d) && t.Digest == d && !t.Deleted {
				t.Changed, t.Deleted = s.since(t.Changed), true
				r.Tags[tag] = t
			}
		}
		if reference == string(d) {
			m.Changed, m.Deleted = s.since(m.Changed), true
			r.Manifests[d] = m
		}
		return nil
	})
}

// Merge takes over what another server has on record. What is new in it must be in the store already.
func (s *Store) Merge(name string, theirs Repository) error {
	return s.change(name, func(r Repository) error {
		if !r.merge(theirs) {
			return errUnchanged
		}
		return nil
	})
}

// errUnchanged ends a change that changes nothing.
var errUnchanged = errors.New("nothing has changed")

// since is now, or just after a change that is dated later: a clock that was set back must not undo what is done now.
func (s *Store) since(last time.Time) time.Time {
	now := s.now().UTC().Round(0)
	if !now.After(last) {
		now = last.Add(1)
	}
	return now
}

// change applies an edit to a copy of the record, and keeps it once it is on disk.
func (s *Store) change(name string, edit func(Repository) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := newRepository()
	if old, known := s.repos[name]; known {
		r = old.clone()
	}
	if err := edit(r); errors.Is(err, errUnchanged) {
		return nil
	} else if err != nil {
		return err
	}
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := s.makeDir(name); err != nil {
		return err
	}
	if err := atomicfile.Write(s.path("repositories", name, recordName), data, 0o600); err != nil {
		return err
	}
	s.repos[name] = r
	return nil
}

// makeDir makes the directories of a repository's name durable, each in the one above it.
func (s *Store) makeDir(name string) error {
	dir := s.path("repositories")
	for part := range strings.SplitSeq(name, "/") {
		above := dir
		dir = filepath.Join(dir, part)
		if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := atomicfile.SyncDir(above); err != nil {
			return err
		}
	}
	return nil
}
