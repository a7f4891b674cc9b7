package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// Placed says whether the authorities and the datastore of the backup are in place already and nothing has used them
// yet, as after a restoration that was interrupted behind Place. It returns ErrNode where a node is, or a part of one
// that is not this backup's. The answer file makes a machine a node, so it comes last.
func (c Contents) Placed(ctx context.Context, l layout.Layout) (bool, error) {
	answers, err := os.ReadFile(l.Config())
	bare, err := missing(err)
	if err != nil {
		return false, err
	}
	_, err = os.Lstat(staging(l))
	all, err := missing(err) // what is left there has to be tidied up
	if err != nil {
		return false, err
	}
	for folder, dir := range targets(l) {
		found, err := compare(ctx, dir, c.Manifest.folder(folder))
		switch {
		case err != nil:
			return false, err
		case found == other && bare:
			return false, fmt.Errorf("%w: there is something in %s", ErrNode, dir)
		}
		all = all && found == same
	}
	if !bare && (!all || !bytes.Equal(answers, c.Config)) {
		return false, fmt.Errorf("%w: it has %s", ErrNode, l.Config())
	}
	return all, nil
}

// missing tells a file that is not there from one that cannot be looked at.
func missing(err error) (bool, error) {
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return false, err
}

// staging is where a backup is unpacked: on the file system that it goes to.
func staging(l layout.Layout) string { return filepath.Join(l.StateDir, "restore.partial") }

// targets are the directories that Place fills, by their folders in the backup.
func targets(l layout.Layout) map[string]string {
	return map[string]string{pkiFolder: l.PKI(), databaseFolder: l.Datastore()}
}

type finding int

const (
	absent finding = iota
	same
	other
)

// compare says whether a directory holds these files and nothing else. An empty one counts as absent.
func compare(ctx context.Context, dir string, want map[string]File) (finding, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return absent, nil
	}
	if err != nil || len(entries) != len(want) {
		return other, err
	}
	for _, e := range entries {
		f, ok := want[e.Name()]
		if !ok || !e.Type().IsRegular() {
			return other, nil
		}
		have, err := digestFile(ctx, filepath.Join(dir, e.Name()))
		if err != nil || have.Size != f.Size || have.SHA256 != f.SHA256 {
			return other, err
		}
	}
	return same, nil
}

// Place puts the authorities and the datastore of a backup where a server looks for them. It checks everything once
// more while reading; want is what was verified before. After an interruption it may be called again: what is in place
// stays, and the rest is done anew.
func Place(ctx context.Context, r io.Reader, key Key, l layout.Layout, want Manifest) (err error) {
	unpacked := staging(l)
	if err := os.RemoveAll(unpacked); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(unpacked)) }()
	if err := stage(ctx, r, key, unpacked, want); err != nil {
		return fmt.Errorf("unpack the backup: %w", err)
	}
	for folder, dir := range targets(l) {
		if err := move(ctx, filepath.Join(unpacked, folder), dir, want.folder(folder)); err != nil {
			return err
		}
	}
	return atomicfile.SyncDir(l.StateDir)
}

// stage unpacks the backup below dir and waits until it is on disk.
func stage(ctx context.Context, r io.Reader, key Key, dir string, want Manifest) error {
	keys := filepath.Join(dir, pkiFolder)
	database := filepath.Join(dir, want.database())
	for _, folder := range []string{keys, filepath.Dir(database)} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return err
		}
	}
	c, err := openTo(ctx, r, key, database)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(c.Manifest, want) {
		return fmt.Errorf("%w: it is another file than a moment ago", ErrAltered)
	}
	if c.Generation != nil {
		if err := atomicfile.Write(filepath.Join(dir, generationPath), c.Generation, 0o600); err != nil {
			return err
		}
	}
	for name, content := range c.PKI {
		if err := atomicfile.Write(filepath.Join(keys, name), content, 0o600); err != nil {
			return err
		}
	}
	return errors.Join(atomicfile.SyncDir(keys), atomicfile.SyncDir(filepath.Dir(database)), atomicfile.SyncDir(dir))
}

// move puts a whole directory in place, unless it is there already.
func move(ctx context.Context, from, to string, want map[string]File) error {
	found, err := compare(ctx, to, want)
	switch {
	case err != nil || found == same:
		return err
	case found == other:
		return fmt.Errorf("%w: there is something in %s", ErrNode, to)
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) { // an empty one is in the way
		return err
	}
	return os.Rename(from, to)
}
