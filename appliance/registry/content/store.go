// Package content keeps what was pushed to one registry, on disk: blobs by digest, and a record per repository. Everything
// that a method has returned from without an error survives a power cut.
package content

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/atomicfile"
)

// What the store refuses.
var (
	ErrUnknown = errors.New("not in this registry")
	ErrDigest  = errors.New("the content does not match its digest")
	ErrOffset  = errors.New("a chunk does not begin where the one before it ended")
	ErrFull    = errors.New("the disk is almost full")
)

// recordName is the file of a repository's record in the directory of its name. No part of a name begins with "_".
const recordName = "_repository.json"

// Store holds the records in memory and the blobs on disk. It is safe for concurrent use, by one process.
type Store struct {
	dir  string
	now  func() time.Time
	free func() (int64, error) // bytes left on the disk

	mu    sync.Mutex
	repos map[string]Repository

	uploading sync.Mutex
	uploads   map[string]*Upload
}

// Open opens the store in dir, which is made when missing. What a push had not finished is thrown away.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, now: time.Now, repos: map[string]Repository{}, uploads: map[string]*Upload{}}
	s.free = func() (int64, error) { return freeBytes(dir) }
	if err := os.RemoveAll(s.path("uploads")); err != nil {
		return nil, err
	}
	for _, sub := range []string{"uploads", "blobs/sha256", "repositories"} {
		if err := os.MkdirAll(s.path(sub), 0o700); err != nil {
			return nil, err
		}
	}
	return s, s.load()
}

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// load reads the records of all repositories.
func (s *Store) load() error {
	root := s.path("repositories")
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Name() != recordName {
			return err
		}
		name, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		r := newRepository()
		if err := json.Unmarshal(data, &r); err != nil {
			return fmt.Errorf("%s is damaged; move it away, and the other servers give its content back: %w", path, err)
		}
		s.repos[filepath.ToSlash(name)] = r
		return nil
	})
}

// Repository returns the record of a repository, an empty one when there is none.
func (s *Store) Repository(name string) Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, known := s.repos[name]; known {
		return r.clone()
	}
	return newRepository()
}

// Repositories returns all records by name.
func (s *Store) Repositories() map[string]Repository {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Repository, len(s.repos))
	for name, r := range s.repos {
		all[name] = r.clone()
	}
	return all
}

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
