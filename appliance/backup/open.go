package backup

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Open reads a whole backup and checks every digest. The database is written to database; until Open has returned
// without an error, nothing says that it is right. The caller removes it then.
func Open(ctx context.Context, r io.Reader, key Key, database io.Writer) (Contents, error) {
	content, err := unseal(ctx, r, key)
	if err != nil {
		return Contents{}, err
	}
	return reader{content, tar.NewReader(content)}.read(database)
}

type reader struct {
	plain   *plain
	archive *tar.Reader
}

func (r reader) read(database io.Writer) (Contents, error) {
	c := Contents{PKI: map[string][]byte{}}
	var err error
	if c.Manifest, err = r.manifest(); err != nil {
		return Contents{}, err
	}
	for _, f := range c.Manifest.Files {
		if f.Path == c.Manifest.database() {
			err = r.take(f, &sniffer{database: databases[c.Manifest.Datastore.Kind], to: database})
		} else {
			var content bytes.Buffer
			err = r.take(f, &content)
			switch name, ok := strings.CutPrefix(f.Path, pkiFolder); {
			case ok:
				c.PKI[name] = content.Bytes()
			case f.Path == generationPath:
				c.Generation = content.Bytes()
			default:
				c.Config = content.Bytes()
			}
		}
		if err != nil {
			return Contents{}, err
		}
	}
	if err := r.end(); err != nil {
		return Contents{}, err
	}
	return c, checkPKI(c.PKI)
}

func (r reader) manifest() (Manifest, error) {
	size, err := r.next(manifestPath)
	if err != nil {
		return Manifest{}, err
	}
	if size > maxManifest {
		return Manifest{}, malformed("its manifest has %d bytes", size)
	}
	raw, err := io.ReadAll(r.archive)
	if err != nil {
		return Manifest{}, r.explain(err)
	}
	return decodeManifest(raw, r.plain.seal.Bytes)
}

// next goes on to the file of that path, which must be a plain one, and returns its size.
func (r reader) next(path string) (int64, error) {
	h, err := r.archive.Next()
	switch {
	case r.plain.err != nil:
		return 0, r.plain.err
	case errors.Is(err, io.EOF):
		return 0, malformed("it ends before %s", path)
	case err != nil:
		return 0, r.explain(err)
	case h.Name != path || h.Typeflag != tar.TypeReg || len(h.PAXRecords) > 0:
		return 0, malformed("there is %.80q where %s should be", h.Name, path)
	}
	return h.Size, nil
}

// take copies the next file, which must be this one.
func (r reader) take(f File, to io.Writer) error {
	size, err := r.next(f.Path)
	if err != nil {
		return err
	}
	if size != f.Size {
		return fmt.Errorf("%w: %s has %d bytes, and the manifest says %d", ErrAltered, f.Path, size, f.Size)
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(sum, to), r.archive); err != nil {
		return r.explain(err)
	}
	if hex.EncodeToString(sum.Sum(nil)) != f.SHA256 {
		return fmt.Errorf("%w: %s is another one than the manifest says", ErrAltered, f.Path)
	}
	return nil
}

// end reads to the very end, which the seal covers, too.
func (r reader) end() error {
	if _, err := r.archive.Next(); !errors.Is(err, io.EOF) {
		if err == nil {
			return malformed("there is more in it than its manifest lists")
		}
		return r.explain(err)
	}
	n, err := io.Copy(io.Discard, r.plain)
	if err != nil {
		return err
	}
	if n > 0 || r.plain.source.read != r.plain.seal.Bytes {
		return malformed("there is something behind its end")
	}
	return nil
}

// explain tells an archive that is none from everything else that can go wrong.
func (r reader) explain(err error) error {
	switch {
	case r.plain.err != nil:
		return r.plain.err
	case errors.Is(err, tar.ErrHeader), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return malformed("%v", err)
	}
	return err
}

// sniffer passes on what begins like a database.
type sniffer struct {
	database
	to   io.Writer
	seen int
}

// Write implements io.Writer.
func (s *sniffer) Write(p []byte) (int, error) {
	for i := range min(len(p), max(0, s.at+len(s.magic)-s.seen)) {
		if at := s.seen + i - s.at; at >= 0 && p[i] != s.magic[at] {
			return 0, malformed("%s is no such database", s.path)
		}
	}
	s.seen += len(p)
	return s.to.Write(p)
}
