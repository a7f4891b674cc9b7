package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
	"islet/bundle"
)

// manifestName lists a set's files. It is written last: a set without it is unfinished.
const manifestName = "manifest.json"

// entry is a file in a set's manifest.
type entry struct {
	Path   string `json:"path"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"`
}

func readManifest(dir string) map[string]entry {
	var list []entry
	data, err := os.ReadFile(filepath.Join(dir, manifestName))
	if err != nil || json.Unmarshal(data, &list) != nil {
		return nil
	}
	byPath := make(map[string]entry, len(list))
	for _, e := range list {
		byPath[e.Path] = e
	}
	return byPath
}

// complete tells whether the set is all there. Sizes are compared, not digests: reading 250 MB at
// each start would cost more than it finds, and what a failing disk does to a program shows at once.
func complete(dir string, files []bundle.EngineFile) bool {
	have := readManifest(dir)
	for _, f := range files {
		path := filepath.Join(dir, f.Path)
		if !intact(path, f, have) {
			return false
		}
		for _, link := range f.Links {
			at := filepath.Join(dir, link)
			if target, err := os.Readlink(at); err != nil || filepath.Join(filepath.Dir(at), target) != path {
				return false
			}
		}
	}
	return true
}

// intact tells whether the file at path is f, as far as its set's manifest and its size can tell.
func intact(path string, f bundle.EngineFile, have map[string]entry) bool {
	info, err := os.Stat(path)
	return err == nil && info.Size() == f.Size && info.Mode() == f.Mode && have[f.Path].Digest == f.Digest.String()
}

// place puts one file and its links into dir, and returns the bytes written.
func place(ctx context.Context, b *bundle.Reader, dir, current string, f bundle.EngineFile, old map[string]entry) (written int64, err error) {
	path, before := filepath.Join(dir, f.Path), filepath.Join(current, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	if !intact(before, f, old) || os.Link(before, path) != nil {
		if err := extract(ctx, b, path, f); err != nil {
			return 0, err
		}
		written = f.Size
	}
	for _, link := range f.Links {
		at := filepath.Join(dir, link)
		target, err := filepath.Rel(filepath.Dir(at), path)
		if err != nil {
			return written, err
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return written, err
		}
		if err := os.Symlink(target, at); err != nil {
			return written, err
		}
	}
	return written, nil
}

func extract(ctx context.Context, b *bundle.Reader, path string, f bundle.EngineFile) (err error) {
	in, err := bundle.OpenEngineFile(ctx, b, f)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.Mode)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, in); err != nil {
		return err
	}
	return out.Chmod(f.Mode) // whatever the umask
}

// finish makes the files durable, then the manifest that vouches for them.
func finish(dir string, files []bundle.EngineFile) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
	if err != nil {
		return fmt.Errorf("sync engines: %w", err)
	}
	list := make([]entry, len(files))
	for i, f := range files {
		list[i] = entry{f.Path, f.Digest.String(), f.Size}
	}
	data, err := json.Marshal(list)
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, manifestName), data, 0o644)
}
