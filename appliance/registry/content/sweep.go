package content

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// Grace is how long a blob to which no manifest refers is kept: its manifest may be on its way.
const Grace = time.Hour

// Swept is what Sweep removed.
type Swept struct {
	Blobs int   `json:"blobs"`
	Bytes int64 `json:"bytes"`
}

// Sweep removes the blobs that no manifest needs and that nobody asked to Keep for the time of grace. Nothing is removed
// when a manifest cannot be read: what it needs is not known then.
func (s *Store) Sweep(grace time.Duration) (swept Swept, err error) {
	for _, u := range s.abandoned() {
		err = errors.Join(err, u.Cancel())
	}
	if err != nil {
		return swept, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	needed, err := s.needed()
	if err != nil {
		return swept, err
	}
	dir := s.path("blobs/sha256")
	entries, err := os.ReadDir(dir)
	if err != nil {
		return swept, err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil {
			return swept, err
		}
		if needed[digest.NewDigestFromEncoded(digest.SHA256, entry.Name())] || s.now().Sub(info.ModTime()) < grace {
			continue
		}
		if err := os.Remove(s.blobPath(digest.NewDigestFromEncoded(digest.SHA256, entry.Name()))); err != nil {
			return swept, err
		}
		swept.Blobs++
		swept.Bytes += info.Size()
	}
	return swept, nil
}

// needed is every blob that a manifest is or refers to.
func (s *Store) needed() (map[digest.Digest]bool, error) {
	needed := map[digest.Digest]bool{}
	for name, r := range s.repos {
		for _, d := range r.Live() {
			raw, err := s.Manifest(d)
			if err != nil {
				return nil, fmt.Errorf("repository %s: %w", name, err)
			}
			refs, err := ParseManifest(r.Manifests[d].MediaType, raw)
			if err != nil {
				return nil, fmt.Errorf("repository %s: manifest %s: %w", name, d, err)
			}
			needed[d] = true
			for _, b := range refs.Blobs {
				needed[b.Digest] = true
			}
		}
	}
	return needed, nil
}
