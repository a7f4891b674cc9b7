// Package support collects what somebody far away needs to understand a node in trouble, into one file without secrets. It
// reads the host first and takes nothing for granted: everything of the platform may be down.
package support

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"islet/appliance/redact"
)

// Options says what goes into a bundle.
type Options struct {
	Out      string    // the file to write; its directory must be there
	Name     string    // the folder inside it
	MaxBytes int64     // of the file; LeastBytes at least
	Now      time.Time // of the entries
	Redactor *redact.Redactor
	Sources  []Source // in the order of their worth: the last get what room is left
	Logs     []Log    // after them
	Notes    []string // for the manifest
	Told     func(name string)
}

// LeastBytes is the smallest cap that leaves room for more than the manifest.
const LeastBytes = 1 << 20

const (
	manifestBytes = 256 << 10 // kept free for the manifest
	maxSource     = 32 << 20  // of text that one source may give
	sourceTime    = 20 * time.Second
)

// Source is one file of a bundle.
type Source struct {
	Name string // its path below the folder
	// Write writes the text. What it wrote before an error stays in the bundle; ErrNotHere says that there is nothing to tell.
	Write func(ctx context.Context, w io.Writer) error
}

// ErrNotHere is returned by sources that this machine has not got.
var ErrNotHere = errors.New("not on this machine")

// Manifest says what is in a bundle, and what is not. It is its last file, manifest.json.
type Manifest struct {
	Created  time.Time `json:"created"`
	MaxBytes int64     `json:"maxBytes"`
	Bytes    int64     `json:"bytes"` // of the file, without the manifest
	Files    []File    `json:"files"`
	LeftOut  []Omitted `json:"leftOut"`
	Notes    []string  `json:"notes"`
}

// File is one file of a bundle.
type File struct {
	Name     string `json:"name"`
	Bytes    int64  `json:"bytes"`
	Redacted int    `json:"redactedLines"`        // lines that a secret was taken out of
	Cut      string `json:"cut,omitempty"`        // what of it is missing for the lack of room
	Problem  string `json:"incomplete,omitempty"` // the error that ended it early
}

// Omitted is what is not in a bundle.
type Omitted struct {
	Name   string `json:"name"`
	Reason string `json:"reason"`
}

// Write writes a bundle and returns its manifest. The file is there only when all went well; a source that fails is none of
// that, and stands in the manifest.
func Write(ctx context.Context, o Options) (m Manifest, err error) {
	if o.MaxBytes < LeastBytes {
		return m, fmt.Errorf("a support bundle needs room: %d bytes are less than %d", o.MaxBytes, LeastBytes)
	}
	file, err := os.CreateTemp(filepath.Dir(o.Out), "."+filepath.Base(o.Out)+".*") // mode 0600
	if err != nil {
		return m, fmt.Errorf("write the support bundle: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close(), os.Remove(file.Name()))
		}
	}()
	a := &archive{options: o, out: file, manifest: Manifest{
		Created: o.Now.UTC(), MaxBytes: o.MaxBytes, Files: []File{}, LeftOut: []Omitted{}, Notes: slices.Concat([]string{}, o.Notes),
	}}
	for _, s := range o.Sources {
		if err := a.source(ctx, s); err != nil {
			return m, err
		}
	}
	if err := a.logs(ctx, o.Logs); err != nil {
		return m, err
	}
	if err := a.end(); err != nil {
		return m, fmt.Errorf("write the support bundle: %w", err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return m, errors.Join(err, os.Remove(file.Name()))
	}
	if err := os.Rename(file.Name(), o.Out); err != nil {
		return m, errors.Join(err, os.Remove(file.Name()))
	}
	return a.manifest, nil
}

// archive is a bundle that is being written. Each of its entries is a gzip member of its own, which any gunzip reads as one
// stream (RFC 1952, section 2.2): so an entry's size is known before it is put in, and it can be left out.
type archive struct {
	options  Options
	out      io.Writer
	manifest Manifest
}

// room is how many bytes are left.
func (a *archive) room() int64 { return a.options.MaxBytes - manifestBytes - a.manifest.Bytes }

func (a *archive) source(ctx context.Context, s Source) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if a.options.Told != nil {
		a.options.Told(s.Name)
	}
	raw, problem := collect(ctx, s)
	if err := ctx.Err(); err != nil {
		return err
	}
	f := File{Name: s.Name}
	if problem != nil {
		f.Problem = a.options.Redactor.String(problem.Error())
	}
	if raw.Len() == 0 {
		if problem == nil {
			f.Problem = "it has nothing to tell"
		}
		a.omit(s.Name, f.Problem)
		return nil
	}
	text, redacted, err := a.clean(raw)
	if err != nil {
		return err
	}
	f.Redacted = redacted
	return a.add(f, text)
}

// collect runs a source for as long as it may.
func collect(ctx context.Context, s Source) (*bytes.Buffer, error) {
	ctx, cancel := context.WithTimeout(ctx, sourceTime)
	defer cancel()
	b := &bounded{left: maxSource}
	err := s.Write(ctx, b)
	if b.left < 0 {
		err = errors.Join(err, fmt.Errorf("more than %d MiB: the rest is left out", maxSource>>20))
	}
	return &b.Buffer, err
}

// bounded takes what fits and swallows the rest.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left >= len(p) {
		b.Buffer.Write(p)
	}
	b.left -= len(p)
	return len(p), nil
}

func (a *archive) clean(raw io.Reader) (text []byte, lines int, err error) {
	var b bytes.Buffer
	lines, err = a.options.Redactor.Copy(&b, raw)
	return b.Bytes(), lines, err
}

// add puts a file in, or tells why there is no room for it.
func (a *archive) add(f File, text []byte) error {
	packed, err := a.pack(f.Name, text)
	if err != nil {
		return err
	}
	if int64(len(packed)) > a.room() {
		a.omit(f.Name, fmt.Sprintf("no room: it takes %d bytes of the %d that are left", len(packed), a.room()))
		return nil
	}
	return a.put(f, text, packed)
}

func (a *archive) put(f File, text, packed []byte) error {
	f.Bytes = int64(len(text))
	a.manifest.Files = append(a.manifest.Files, f)
	a.manifest.Bytes += int64(len(packed))
	_, err := a.out.Write(packed)
	return err
}

func (a *archive) omit(name, reason string) {
	a.manifest.LeftOut = append(a.manifest.LeftOut, Omitted{name, reason})
}

// pack makes a member of one file.
func (a *archive) pack(name string, text []byte) ([]byte, error) {
	return member(func(w *tar.Writer) error {
		h := &tar.Header{Name: a.options.Name + "/" + name, Size: int64(len(text)), Mode: 0o600, ModTime: a.options.Now, Format: tar.FormatPAX}
		if err := w.WriteHeader(h); err != nil {
			return err
		}
		if _, err := w.Write(text); err != nil {
			return err
		}
		return w.Flush() // to the end of its last block, and not the end of the archive
	})
}

// end writes the manifest and the end of the archive.
func (a *archive) end() error {
	text, err := json.MarshalIndent(a.manifest, "", "  ")
	if err != nil {
		return err
	}
	packed, err := a.pack("manifest.json", append(text, '\n'))
	if err != nil {
		return err
	}
	last, err := member(func(w *tar.Writer) error { return w.Close() })
	if err != nil {
		return err
	}
	_, err = a.out.Write(append(packed, last...))
	return err
}
