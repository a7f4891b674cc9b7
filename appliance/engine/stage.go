// Package engine puts the engines that a bundle carries on disk, where they can be executed.
package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
	"islet/bundle"
)

// Result is what Stage did.
type Result struct {
	Dir    string `json:"dir"`    // of the set in use
	Files  int    `json:"files"`  // in the set
	Staged int    `json:"staged"` // files written or linked by this call
	Bytes  int64  `json:"bytes"`  // written by this call; 0 when nothing changed
}

// Stage brings the engines of b into l.Engines()/sets/DIGEST and points l.Engines()/current there.
// Files that the set before had too are linked, not written. With nothing changed it writes
// nothing. It is safe to repeat after a power cut at any moment: a set appears under its name, and
// the link moves to it, only when it is complete and on disk. Running programs keep their files.
func Stage(ctx context.Context, l layout.Layout, b *bundle.Reader) (Result, error) {
	files, id, err := wanted(ctx, b)
	if err != nil {
		return Result{}, err
	}
	sets, current := filepath.Join(l.Engines(), "sets"), filepath.Join(l.Engines(), "current")
	target := filepath.Join("sets", id)
	result := Result{Dir: filepath.Join(sets, id), Files: len(files)}
	if !complete(result.Dir, files) {
		result.Staged = len(files)
		if result.Bytes, err = build(ctx, b, result.Dir, current, files); err != nil {
			return result, fmt.Errorf("stage engines: %w", err)
		}
	} else if at, err := os.Readlink(current); err == nil && at == target {
		return result, nil
	}
	if err := point(current, target); err != nil {
		return result, fmt.Errorf("put staged engines in use: %w", err)
	}
	return result, prune(sets, id)
}

// build makes the set in dir, in the place of a damaged one of the same name if there is one, and
// returns the bytes that it wrote.
func build(ctx context.Context, b *bundle.Reader, dir, current string, files []bundle.EngineFile) (int64, error) {
	staging := dir + ".staging"
	if err := os.RemoveAll(staging); err != nil { // what an interrupted call left
		return 0, err
	}
	if err := os.MkdirAll(staging, 0o755); err != nil {
		return 0, err
	}
	old := readManifest(current)
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	var written atomic.Int64
	for _, f := range files {
		group.Go(func() error {
			n, err := place(groupCtx, b, staging, current, f, old)
			written.Add(n)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return written.Load(), err
	}
	if err := finish(staging, files); err != nil {
		return written.Load(), err
	}
	damaged := dir + ".damaged"
	if err := os.Rename(dir, damaged); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return written.Load(), err
	}
	if err := os.Rename(staging, dir); err != nil {
		return written.Load(), err
	}
	return written.Load(), errors.Join(atomicfile.SyncDir(filepath.Dir(dir)), os.RemoveAll(damaged))
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
	made := func(name string) time.Time { // zero for what is not whole
		info, err := os.Stat(filepath.Join(sets, name, manifestName))
		if err != nil || filepath.Ext(name) != "" {
			return time.Time{}
		}
		return info.ModTime()
	}
	keep := ""
	for _, e := range entries {
		if name := e.Name(); name != id && made(name).After(made(keep)) {
			keep = name
		}
	}
	for _, e := range entries {
		if name := e.Name(); name != id && name != keep {
			if err := os.RemoveAll(filepath.Join(sets, name)); err != nil {
				return fmt.Errorf("remove old engines: %w", err)
			}
		}
	}
	return nil
}
