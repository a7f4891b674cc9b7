// Package engine puts the engines that a bundle carries on disk, where they can be executed.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
	"islet/bundle"
)

// manifestName lists a set's files. It is written last: a set without it is unfinished.
const manifestName = "manifest.json"

// Result is what Stage did.
type Result struct {
	Dir    string `json:"dir"`    // of the set in use
	Files  int    `json:"files"`  // in the set
	Staged int    `json:"staged"` // files written or linked by this call
	Bytes  int64  `json:"bytes"`  // written by this call; 0 when nothing changed
}

// Stage brings the engines of b into l.Engines()/sets/DIGEST and points l.Engines()/current there.
// Files that the set before had too are linked, not written. With nothing changed it writes
// nothing. It is safe to repeat after a power cut at any moment: the link moves only to a set that
// is complete and on disk.
func Stage(ctx context.Context, l layout.Layout, b *bundle.Reader) (Result, error) {
	files, id, err := wanted(ctx, b)
	if err != nil {
		return Result{}, err
	}
	sets, current := filepath.Join(l.Engines(), "sets"), filepath.Join(l.Engines(), "current")
	dir := filepath.Join(sets, id)
	result := Result{Dir: dir, Files: len(files)}
	if complete(dir, files) {
		if target, err := os.Readlink(current); err == nil && target == filepath.Join("sets", id) {
			return result, nil
		}
		return result, point(current, filepath.Join("sets", id))
	}
	if err := os.RemoveAll(dir); err != nil { // what an interrupted call left
		return result, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return result, err
	}
	old := readManifest(current)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	written := make([]int64, len(files))
	for i, f := range files {
		group.Go(func() (err error) {
			written[i], err = place(groupCtx, b, dir, current, f, old)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return result, fmt.Errorf("stage engines: %w", err)
	}
	for _, n := range written {
		result.Bytes += n
	}
	result.Staged = len(files)
	if err := finish(dir, files); err != nil {
		return result, err
	}
	if err := point(current, filepath.Join("sets", id)); err != nil {
		return result, err
	}
	return result, prune(sets, id)
}

// wanted lists the files of all engines and names their set by what is in them.
func wanted(ctx context.Context, b *bundle.Reader) ([]bundle.EngineFile, string, error) {
	var files []bundle.EngineFile
	sum := sha256.New()
	for _, c := range b.Components() {
		if c.Kind != bundle.KindEngine {
			continue
		}
		engine, err := bundle.EngineFiles(ctx, b, c)
		if err != nil {
			return nil, "", err
		}
		files = append(files, engine...)
		fmt.Fprintln(sum, c.Name, c.Descriptor.Digest)
	}
	if len(files) == 0 {
		return nil, "", errors.New("the bundle carries no engines: use one made by `make bundle`")
	}
	return files, hex.EncodeToString(sum.Sum(nil))[:16], nil
}

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
		info, err := os.Stat(filepath.Join(dir, f.Path))
		if err != nil || info.Size() != f.Size || have[f.Path].Digest != f.Digest.String() {
			return false
		}
	}
	return true
}

// place puts one file and its links into dir, and returns the bytes written.
func place(ctx context.Context, b *bundle.Reader, dir, current string, f bundle.EngineFile, old map[string]entry) (int64, error) {
	path := filepath.Join(dir, f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return 0, err
	}
	var written int64
	if e, ok := old[f.Path]; !ok || e.Digest != f.Digest.String() || os.Link(filepath.Join(current, f.Path), path) != nil {
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
	_, err = io.Copy(out, in)
	return err
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

// point moves the link to target atomically.
func point(link, target string) error {
	tmp := link + ".new"
	if err := os.Remove(tmp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, link); err != nil {
		return err
	}
	return atomicfile.SyncDir(filepath.Dir(link))
}

// prune keeps the set in use and the newest other one, for a way back.
func prune(sets, id string) error {
	entries, err := os.ReadDir(sets)
	if err != nil {
		return err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return e.Name() == id })
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		ia, errA := a.Info()
		ib, errB := b.Info()
		if errA != nil || errB != nil {
			return 0
		}
		return ib.ModTime().Compare(ia.ModTime())
	})
	for _, e := range entries[min(1, len(entries)):] {
		if err := os.RemoveAll(filepath.Join(sets, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
