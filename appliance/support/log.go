package support

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Log is a file of which the end is worth most.
type Log struct {
	Name     string // its path in the bundle
	Path     string
	Bytes    int64
	Modified time.Time
	Rotated  bool // it is an older part of a log
}

const (
	logBytes   = 16 << 20 // of text that is looked at, of each log
	leastBytes = 16 << 10 // of text: less of a log is worth nothing
	attempts   = 5        // to find how much of a log fits
)

// FindLogs lists the files below dir that were written to since then, for the folder name of a bundle. keep says which of its
// folders and files to take, by their path below dir; nil takes all. What cannot be read is left out.
func FindLogs(dir, name string, since time.Time, keep func(path string) bool) []Log {
	var logs []Log
	dir = filepath.Clean(dir)
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error { // no error is worth more than the rest
		below := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		switch {
		case err != nil:
		case below != "" && keep != nil && !keep(below):
			if entry.IsDir() {
				return filepath.SkipDir
			}
		default:
			info, err := entry.Info()
			if err == nil && info.Mode().IsRegular() && info.Size() > 0 && !info.ModTime().Before(since) {
				logs = append(logs, Log{
					Name: name + "/" + below, Path: path, Bytes: info.Size(), Modified: info.ModTime(),
					Rotated: !strings.HasSuffix(path, ".log") && !strings.HasSuffix(path, ".txt"),
				})
			}
		}
		return nil //nolint:nilerr // what cannot be read is left out
	})
	return logs
}

// logs puts the logs in. Each gets an equal share of the room that is left, the small ones first, which leave what they do not
// need to the others; older parts come last, the oldest at the end. So what is cut or left out is the biggest and the oldest.
func (a *archive) logs(ctx context.Context, logs []Log) error {
	slices.SortStableFunc(logs, func(x, y Log) int {
		switch {
		case x.Rotated != y.Rotated:
			return map[bool]int{true: 1, false: -1}[x.Rotated]
		case x.Rotated:
			return y.Modified.Compare(x.Modified)
		}
		return cmp.Compare(x.Bytes, y.Bytes)
	})
	current := slices.IndexFunc(logs, func(l Log) bool { return l.Rotated })
	if current < 0 {
		current = len(logs)
	}
	for i, l := range logs {
		if err := ctx.Err(); err != nil {
			return err
		}
		if a.options.Told != nil {
			a.options.Told(l.Name)
		}
		share := a.room() / int64(max(1, current-i))
		if err := a.log(l, share); err != nil {
			return err
		}
	}
	return nil
}

// log puts as much of the end of a log in as its share allows.
func (a *archive) log(l Log, share int64) error {
	if info, err := os.Stat(l.Path); err == nil {
		l.Bytes = info.Size() // it has grown since
	}
	size := min(l.Bytes, logBytes)
	for range attempts {
		if size < min(leastBytes, l.Bytes) {
			break
		}
		raw, left, err := tail(l.Path, l.Bytes, size)
		if err != nil {
			a.omit(l.Name, a.options.Redactor.String(err.Error()))
			return nil
		}
		text, redacted, err := a.clean(bytes.NewReader(raw))
		if err != nil {
			return err
		}
		packed, err := a.pack(l.Name, text)
		if err != nil {
			return err
		}
		if int64(len(packed)) <= share {
			f := File{Name: l.Name, Redacted: redacted}
			if left > 0 {
				f.Cut = fmt.Sprintf("the first %d of %d bytes", left, l.Bytes)
			}
			return a.put(f, text, packed)
		}
		size = int64(float64(size) * 0.95 * float64(max(share, 0)) / float64(len(packed)))
	}
	a.omit(l.Name, fmt.Sprintf("no room: its share of what is left is %d bytes, and it has %d", share, l.Bytes))
	return nil
}

// tail is the last size bytes of a file's first end ones, from the beginning of a line unless it is the whole, and how many bytes
// are left out before it.
func tail(path string, end, size int64) (raw []byte, left int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	left = max(0, end-size)
	raw, err = io.ReadAll(io.NewSectionReader(f, left, end-left))
	if left > 0 {
		if before, rest, found := bytes.Cut(raw, []byte("\n")); found {
			left, raw = left+int64(len(before))+1, rest
		}
	}
	return raw, left, err
}

// member is a gzip member with a part of a tar archive.
func member(write func(*tar.Writer) error) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	if err := write(tar.NewWriter(zip)); err != nil {
		return nil, err
	}
	if err := zip.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
