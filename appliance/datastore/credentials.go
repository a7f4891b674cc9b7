package datastore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"islet/appliance/atomicfile"
)

// Credentials are the files with which a server gets into the site's own database; empty where there is none.
type Credentials struct{ Password, CA, Cert, Key string }

// credentialNames are what the copies of a server are called, beside its keys: so they are in its backups.
var credentialNames = []string{"database.password", "database-ca.pem", "database-cert.pem", "database-key.pem"}

// ErrOpenFile is returned for a secret that others than root may read.
var ErrOpenFile = errors.New("others than root may read it")

func (c *Credentials) all() []*string { return []*string{&c.Password, &c.CA, &c.Cert, &c.Key} }

// Keep copies the files to dir, and returns the copies. Where a file is not there an earlier copy counts: a server that joined
// has its copies from the site, and one that was restored from the backup.
func (c Credentials) Keep(dir string) (Credentials, error) {
	kept := c
	for i, path := range kept.all() {
		if *path == "" {
			continue
		}
		copied := filepath.Join(dir, credentialNames[i])
		content, err := readSecret(*path, i == 0 || i == 3)
		if errors.Is(err, fs.ErrNotExist) {
			if _, missing := os.Stat(copied); missing != nil {
				return kept, err
			}
		} else if err != nil {
			return kept, err
		} else if err := atomicfile.Write(copied, content, 0o600); err != nil {
			return kept, err
		}
		*path = copied
	}
	return kept, nil
}

func readSecret(path string, secret bool) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if secret && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s: %w: chmod 600 %s", path, ErrOpenFile, path)
	}
	return os.ReadFile(path)
}

// ReadCredentials returns the copies in dir by their names, for a server that joins.
func ReadCredentials(dir string) (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, name := range credentialNames {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		out[name] = content
	}
	return out, nil
}

// WriteCredentials writes what ReadCredentials returned on another server.
func WriteCredentials(dir string, files map[string][]byte) error {
	for _, name := range credentialNames {
		if content, ok := files[name]; ok {
			if err := atomicfile.Write(filepath.Join(dir, name), content, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}
