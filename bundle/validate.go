package bundle

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"
)

const maxNameLength = 512

// validate checks what the format promises about an index, and reports all problems. archiveSize is the trailer's.
func (x *Index) validate(archiveSize int64) error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if x.FormatVersion != FormatVersion {
		report("formatVersion: %d, want %d", x.FormatVersion, FormatVersion)
	}
	for _, field := range []struct{ name, value string }{{"name", x.Name}, {"version", x.Version}, {"kind", x.Kind}} {
		if !printable(field.value) {
			report("%s: %.40q is empty, too long or not printable", field.name, field.value)
		}
	}
	if x.Archive.Size != archiveSize {
		report("archive.size: %d, the trailer says %d", x.Archive.Size, archiveSize)
	}
	if !isSHA256(x.Archive.FrameDigest) {
		report("archive.frameDigest: not a sha256 digest")
	}
	sizes, err := x.validateBlobs()
	return errors.Join(append(problems, err, x.validateComponents(sizes))...)
}

// validateBlobs checks that blobs are inside the archive, in order, apart from each other and listed once.
func (x *Index) validateBlobs() (map[digest.Digest]int64, error) {
	var problems []error
	sizes := make(map[digest.Digest]int64, len(x.Blobs))
	end := int64(0)
	for i, b := range x.Blobs {
		switch _, twice := sizes[b.Digest]; {
		case !isSHA256(b.Digest):
			problems = append(problems, fmt.Errorf("blobs[%d]: %.80q is not a sha256 digest", i, b.Digest))
		case twice:
			problems = append(problems, fmt.Errorf("blobs[%d]: %s is listed twice", i, b.Digest))
		case b.Size < 0 || b.Offset < 0 || b.Size > x.Archive.Size || b.Offset > x.Archive.Size-b.Size:
			problems = append(problems, fmt.Errorf("blobs[%d]: %d bytes at %d are outside of the archive of %d", i, b.Size, b.Offset, x.Archive.Size))
		case b.Offset < end:
			problems = append(problems, fmt.Errorf("blobs[%d]: begins at %d, inside or before the one that ends at %d", i, b.Offset, end))
		default:
			end = b.Offset + b.Size
		}
		sizes[b.Digest] = b.Size
	}
	return sizes, errors.Join(problems...)
}

func (x *Index) validateComponents(sizes map[digest.Digest]int64) error {
	var problems []error
	seen := make(map[[2]string]bool, len(x.Components))
	for i, c := range x.Components {
		report := func(format string, args ...any) {
			problems = append(problems, fmt.Errorf("components[%d]: "+format, append([]any{i}, args...)...))
		}
		if !printable(string(c.Kind)) || !printable(c.Name) {
			report("kind %.40q, name %.40q: empty, too long or not printable", c.Kind, c.Name)
		}
		if c.Version != "" && !printable(c.Version) || c.Reference != "" && !printable(c.Reference) {
			report("version %.40q, reference %.40q: too long or not printable", c.Version, c.Reference)
		}
		if size, ok := sizes[c.Descriptor.Digest]; !ok || size != c.Descriptor.Size {
			report("%.80q of %d bytes is not among the blobs", c.Descriptor.Digest, c.Descriptor.Size)
		}
		if c.Kind == KindImage && c.Reference == "" {
			report("image %s has no reference", c.Name)
		}
		if c.Kind == KindSBOM {
			if _, ok := sizes[c.Subject]; !ok {
				report("subject %.80q is not among the blobs", c.Subject)
			}
			continue
		}
		key := [2]string{string(c.Kind), c.Name}
		if seen[key] {
			report("%s %s is listed twice", c.Kind, c.Name)
		}
		seen[key] = true
	}
	return errors.Join(problems...)
}

// compareComponents is the order of an index's components.
func compareComponents(a, b Component) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Descriptor.Digest, b.Descriptor.Digest), cmp.Compare(a.Version, b.Version))
}

func sortComponents(c []Component) { slices.SortFunc(c, compareComponents) }

func isSHA256(d digest.Digest) bool {
	return d.Validate() == nil && d.Algorithm() == digest.SHA256
}

// printable reports whether s can be shown on a terminal and logged as it is. Names come from a file: one with control
// characters could repaint the operator's screen.
func printable(s string) bool {
	if s == "" || len(s) > maxNameLength || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}
