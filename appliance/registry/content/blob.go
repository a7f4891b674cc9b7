package content

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"
)

// MaxManifest is the size of the largest manifest that is taken, as the distribution specification advises.
const MaxManifest = 4 << 20

func (s *Store) blobPath(d digest.Digest) string { return s.path("blobs/sha256", d.Encoded()) }

// Blob opens a blob; the caller closes it. The content is not verified again: who reads it does. It is ErrUnknown if there
// is none.
func (s *Store) Blob(d digest.Digest) (*os.File, error) {
	if err := CheckDigest(d); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnknown, err)
	}
	f, err := os.Open(s.blobPath(d))
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("blob %s: %w", d, ErrUnknown)
	}
	return f, err
}

// Size is that of a blob, or ErrUnknown.
func (s *Store) Size(d digest.Digest) (int64, error) {
	f, err := s.Blob(d)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Keep tells whether the blob is here, and keeps Sweep from it for its grace: somebody counts on it.
func (s *Store) Keep(d digest.Digest) (bool, error) {
	if err := CheckDigest(d); err != nil {
		return false, err
	}
	now := s.now()
	err := os.Chtimes(s.blobPath(d), now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Manifest returns the verified content of a manifest.
func (s *Store) Manifest(d digest.Digest) ([]byte, error) {
	f, err := s.Blob(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, MaxManifest+1))
	if err != nil {
		return nil, err
	}
	if digest.FromBytes(raw) != d {
		return nil, fmt.Errorf("manifest %s on disk: %w", d, ErrDigest)
	}
	return raw, nil
}

// Add stores a small blob.
func (s *Store) Add(d digest.Digest, raw []byte) error { return s.Copy(d, bytes.NewReader(raw)) }

// Copy stores a blob from a stream.
func (s *Store) Copy(d digest.Digest, from io.Reader) error {
	u, err := s.NewUpload()
	if err != nil {
		return err
	}
	if err := u.Append(from); err != nil {
		return errors.Join(err, u.Cancel())
	}
	return u.Commit(d)
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, err
	}
	return int64(s.Bavail) * s.Bsize, nil
}
