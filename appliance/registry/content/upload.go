package content

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/atomicfile"
)

const (
	// reserve is what pushes leave free on the disk: the datastore and the pods need it more.
	reserve = 2 << 30
	// checkEvery is how many bytes are written before the free space is looked at again.
	checkEvery = 16 << 20
	// abandonedAfter is when an upload that nobody goes on with is thrown away.
	abandonedAfter = 24 * time.Hour
)

// Upload is a blob on its way in. One of its methods runs at a time.
type Upload struct {
	ID    string
	store *Store

	mu   sync.Mutex
	file *os.File
	sum  hash.Hash
	size int64
	used time.Time
}

// NewUpload begins a blob. Commit or Cancel ends it.
func (s *Store) NewUpload() (*Upload, error) {
	u := &Upload{ID: rand.Text(), store: s, sum: sha256.New(), used: s.now()}
	var err error
	if u.file, err = os.OpenFile(s.path("uploads", u.ID), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return nil, err
	}
	s.uploading.Lock()
	defer s.uploading.Unlock()
	s.uploads[u.ID] = u
	return u, nil
}

// Upload finds one that was begun, or ErrUnknown.
func (s *Store) Upload(id string) (*Upload, error) {
	s.uploading.Lock()
	defer s.uploading.Unlock()
	u, known := s.uploads[id]
	if !known {
		return nil, fmt.Errorf("upload %.40q: %w", id, ErrUnknown)
	}
	return u, nil
}

// Size is the number of bytes that have arrived.
func (u *Upload) Size() int64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.size
}

// AppendAt is Append for a chunk that says where it begins; ErrOffset if that is not the end of what has arrived.
func (u *Upload) AppendAt(offset int64, from io.Reader) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if offset != u.size {
		return fmt.Errorf("%w: %d bytes are here, the chunk begins at %d", ErrOffset, u.size, offset)
	}
	return u.append(from)
}

// Append adds what from gives. What arrived before an error stays.
func (u *Upload) Append(from io.Reader) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.append(from)
}

func (u *Upload) append(from io.Reader) error {
	for {
		if free, err := u.store.free(); err != nil {
			return err
		} else if free < reserve {
			return fmt.Errorf("%w: %d MiB are free, %d MiB are kept free", ErrFull, free>>20, int64(reserve)>>20)
		}
		n, err := io.CopyN(io.MultiWriter(u.file, u.sum), from, checkEvery)
		u.size += n
		u.used = u.store.now()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// Commit puts the blob in place if it has the digest; else it is gone, with ErrDigest.
func (u *Upload) Commit(d digest.Digest) (err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	defer func() {
		if err != nil {
			err = errors.Join(err, u.end())
		}
	}()
	if err := CheckDigest(d); err != nil {
		return fmt.Errorf("%w: %w", ErrDigest, err)
	}
	if got := digest.NewDigest(digest.SHA256, u.sum); got != d {
		return fmt.Errorf("%w: %d bytes arrived with the digest %s, announced was %s", ErrDigest, u.size, got, d)
	}
	if err := u.file.Sync(); err != nil {
		return err
	}
	path := u.store.blobPath(d)
	if err := os.Rename(u.file.Name(), path); err != nil {
		return err
	}
	return errors.Join(atomicfile.SyncDir(filepath.Dir(path)), u.end())
}

// Cancel throws the upload away.
func (u *Upload) Cancel() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.end()
}

// end forgets the upload; its file is gone or has another name by now.
func (u *Upload) end() error {
	u.store.uploading.Lock()
	delete(u.store.uploads, u.ID)
	u.store.uploading.Unlock()
	err := u.file.Close()
	os.Remove(u.store.path("uploads", u.ID))
	if errors.Is(err, os.ErrClosed) { // a second end
		return nil
	}
	return err
}

// abandoned lists the uploads that nobody has gone on with for long.
func (s *Store) abandoned() []*Upload {
	s.uploading.Lock()
	defer s.uploading.Unlock()
	var list []*Upload
	for _, u := range s.uploads {
		if u.mu.TryLock() {
			if s.now().Sub(u.used) > abandonedAfter {
				list = append(list, u)
			}
			u.mu.Unlock()
		}
	}
	return list
}
