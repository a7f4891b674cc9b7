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
	"sync"
	"time"
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
