package pki

import (
	"errors"
	"fmt"
	"os"

	"islet/appliance/atomicfile"
)

// ErrIncomplete is returned for keys of a site of which some are missing.
var ErrIncomplete = errors.New("keys of the site are missing")

// keyFiles are what makes a server of a site out of any other node of it, by their names among Keys.
func keyFiles(dir string) map[string]string {
	files := map[string]string{serviceAccountLeaf: keyPath(dir, serviceAccountLeaf), EncryptionSecret: secretPath(dir, EncryptionSecret)}
	for _, name := range AuthorityNames() {
		files[name] = keyPath(dir, name)
	}
	return files
}

// Keys returns what another server of the site needs besides the certificates of the authorities: their keys, the key that
// signs service account tokens, and the secret with which secrets are encrypted in the datastore.
func (s *Store) Keys() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, path := range keyFiles(s.dir) {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", name, err)
		}
		out[name] = content
	}
	return out, nil
}

// WriteKeys writes what Keys returned on another server. WriteAuthorities comes first. After an interruption it may be
// called again.
func WriteKeys(dir string, keys map[string][]byte) error {
	for name := range keyFiles(dir) {
		if len(keys[name]) == 0 {
			return fmt.Errorf("%w: %s", ErrIncomplete, name)
		}
	}
	for name, path := range keyFiles(dir) {
		if err := atomicfile.Write(path, keys[name], 0o600); err != nil {
			return err
		}
	}
	return nil
}
