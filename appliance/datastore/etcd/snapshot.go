package etcd

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"islet/appliance/atomicfile"
	"islet/appliance/datastore"
)

const (
	snapshotTimeout = 10 * time.Minute
	// checksumSize is what etcd adds to its database: a SHA-256.
	checksumSize = sha256.Size
	// partial is the ending of what is not complete yet.
	partial = ".partial"
)

// snapshot has the one endpoint stream its database to a file, which appears under its name only when
// it is complete and sound.
func (c *cluster) snapshot(ctx context.Context, file string) (datastore.Report, error) {
	endpoint, err := c.only()
	if err != nil {
		return datastore.Report{}, err
	}
	tmp := file + partial
	report, err := c.stream(ctx, endpoint, tmp)
	if err != nil {
		_ = os.Remove(tmp)
		return report, fmt.Errorf("snapshot of %s: %w", endpoint, err)
	}
	if err := os.Rename(tmp, file); err != nil {
		return report, err
	}
	report.Path = file
	return report, atomicfile.SyncDir(filepath.Dir(file))
}

func (c *cluster) stream(ctx context.Context, endpoint, tmp string) (datastore.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	err := c.with([]string{endpoint}, func(client *clientv3.Client) error {
		response, err := client.SnapshotWithVersion(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = response.Snapshot.Close() }()
		return write(tmp, response.Snapshot)
	})
	if err != nil {
		return datastore.Report{}, err
	}
	return CheckFile(tmp)
}

// write makes a file of what it reads, and makes it durable.
func write(path string, from io.Reader) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// trailer compares the checksum at the end of a snapshot, and returns the length of what is before it.
func trailer(file *os.File) (int64, error) {
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	length := info.Size() - checksumSize
	if length <= 0 {
		return 0, damaged("the snapshot was cut short, it has %d bytes", info.Size())
	}
	hash, said := sha256.New(), make([]byte, checksumSize)
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, length)); err != nil {
		return 0, err
	}
	if _, err := file.ReadAt(said, length); err != nil {
		return 0, err
	}
	if !bytes.Equal(hash.Sum(nil), said) {
		return 0, damaged("the snapshot was cut short or changed, its checksum is not %x", said)
	}
	return length, nil
}
