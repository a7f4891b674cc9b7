// Package imagefile reads the image archives that people bring: what `docker save` and its like write, and OCI image layouts
// in a tar, plain or compressed with gzip or zstd. Nothing of an archive is written to disk: it is read twice from its
// beginning to its end, once to learn what is in it and once to send what is wanted.
package imagefile

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// The reasons to refuse an archive.
var (
	ErrNotArchive = errors.New("not an image archive")
	ErrTruncated  = errors.New("the image archive is cut short")
	ErrDamaged    = errors.New("the image archive is damaged")
	ErrPlatform   = errors.New("the image is not for this kind of machine")
	ErrName       = errors.New("not the name of an image")
)

func isOurs(err error) bool {
	return slices.ContainsFunc([]error{ErrNotArchive, ErrTruncated, ErrDamaged, ErrPlatform, ErrName}, func(e error) bool { return errors.Is(err, e) })
}

const (
	// maxJSON bounds one manifest, config or index; a registry takes no larger ones.
	maxJSON = 4 << 20
	// maxAllJSON bounds all of them together, which are held in memory.
	maxAllJSON = 64 << 20
	maxLinks   = 8 // that lead to one file
)

// Image is one image of an archive, as a registry is to hold it.
type Image struct {
	Names     []string        // as the archive has them; there may be none
	Manifests []Manifest      // in the order in which a registry takes them: the image itself is the last
	Blobs     []v1.Descriptor // each once
}

// Root is the manifest or index that the names stand for.
func (i Image) Root() Manifest { return i.Manifests[len(i.Manifests)-1] }

// Manifest is a manifest with its content.
type Manifest struct {
	v1.Descriptor
	Raw []byte
}

// File is what is in an archive.
type File struct {
	Images []Image

	path    string
	entries map[string]entry
}

// entry is one file of the archive.
type entry struct {
	size   int64
	digest digest.Digest
	plain  digest.Digest // of the content of a layer that is compressed, in docker's form
	json   []byte        // the content, of what may be a manifest, config or index
	link   string        // the entry that this is another name of
}

// Open reads the archive once. All content is compared with its digests, so that a damaged archive is refused before
// anything of it is used.
func Open(ctx context.Context, name string, progress Progress) (*File, error) {
	f := &File{path: name, entries: map[string]entry{}}
	if err := walk(ctx, name, progress, f.add()); err != nil {
		return nil, err
	}
	if err := f.parse(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return f, nil
}

// add returns what takes note of each entry.
func (f *File) add() func(*tar.Header, io.Reader) error {
	budget := int64(maxAllJSON)
	return func(h *tar.Header, r io.Reader) error {
		name := path.Clean("/" + h.Name)
		for key := range h.PAXRecords {
			if strings.HasPrefix(key, "GNU.sparse.") { // a few bytes of it may stand for years of zeros
				return fmt.Errorf("%w: %.200q has holes; make the archive without --sparse", ErrNotArchive, h.Name)
			}
		}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeSymlink:
			f.entries[name] = entry{link: path.Clean("/" + path.Join(path.Dir(name), h.Linkname))}
			return nil
		case tar.TypeLink:
			f.entries[name] = entry{link: path.Clean("/" + h.Linkname)}
			return nil
		default:
			return nil
		}
		e, err := readEntry(r, h.Size, min(h.Size, maxJSON, budget), strings.HasSuffix(name, ".tar.gz"))
		if err != nil {
			return err
		}
		budget -= int64(len(e.json))
		f.entries[name] = e
		return nil
	}
}

// readEntry reads the content of one file and keeps it if it may be JSON of at most keep bytes. isLayer says that it is a
// compressed layer, whose plain content has to be known too.
func readEntry(r io.Reader, size, keep int64, isLayer bool) (entry, error) {
	sum := sha256.New()
	e := entry{size: size}
	all := io.TeeReader(r, sum)
	if isLayer {
		e.plain = plainDigest(all)
	}
	var start bytes.Buffer
	if _, err := io.CopyN(&start, all, keep); err != nil && !errors.Is(err, io.EOF) {
		return e, err
	}
	if _, err := io.Copy(io.Discard, all); err != nil {
		return e, err
	}
	e.digest = digest.NewDigest(digest.SHA256, sum)
	if content := start.Bytes(); int64(len(content)) == size && (bytes.HasPrefix(content, []byte("{")) || bytes.HasPrefix(content, []byte("["))) {
		e.json = content
	}
	return e, nil
}

// plainDigest is that of what a gzip stream contains, empty if it is none; what is wrong with it shows in the comparison.
func plainDigest(r io.Reader) digest.Digest {
	z, err := gzip.NewReader(r)
	if err != nil {
		return ""
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, z); err != nil {
		return ""
	}
	return digest.NewDigest(digest.SHA256, sum)
}

// lookup finds an entry by its name, through links.
func (f *File) lookup(name string) (entry, bool) {
	name = path.Clean("/" + name)
	for range maxLinks {
		e, known := f.entries[name]
		if !known || e.link == "" {
			return e, known
		}
		name = e.link
	}
	return entry{}, false
}

// parse finds the images. Newer versions of docker write both forms into one archive: OCI's says more.
func (f *File) parse() error {
	var err error
	_, isOCI := f.lookup(v1.ImageLayoutFile)
	_, isDocker := f.lookup(dockerFile)
	switch {
	case isOCI:
		err = f.parseOCI()
	case isDocker:
		err = f.parseDocker()
	default:
		return fmt.Errorf("%w: it has neither %s nor %s", ErrNotArchive, v1.ImageLayoutFile, dockerFile)
	}
	if err == nil && len(f.Images) == 0 {
		err = fmt.Errorf("%w: there is no image in it", ErrNotArchive)
	}
	return err
}

// errVisit marks what went wrong with the receiver of a blob, not with the archive.
var errVisit = errors.New("blob not sent")

// Blobs reads the archive again and hands over the blobs for which wanted holds, each once, in the order of the archive.
func (f *File) Blobs(ctx context.Context, progress Progress, wanted func(digest.Digest) bool, visit func(d digest.Digest, size int64, r io.Reader) error) error {
	done := map[digest.Digest]bool{}
	return walk(ctx, f.path, progress, func(h *tar.Header, r io.Reader) error {
		e, known := f.entries[path.Clean("/"+h.Name)]
		if h.Typeflag != tar.TypeReg || !known || e.size != h.Size || done[e.digest] || !wanted(e.digest) {
			return nil
		}
		done[e.digest] = true
		if err := visit(e.digest, e.size, r); err != nil {
			return fmt.Errorf("%w: %w", errVisit, err)
		}
		return nil
	})
}
