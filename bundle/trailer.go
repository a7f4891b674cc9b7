package bundle

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
)

// FormatVersion is the version this package writes and the newest it reads.
const FormatVersion = 1

// Sizes of docs/bundle-format.md section 2. All integers are little endian.
const (
	trailerSize = 160
	footerSize  = 48 // the end of every trailer of every version: checksum, version, trailer size, magic
	magic       = "ISLETBDL"

	// maxTrailerSize bounds what is read of a newer version's trailer, to see whether its checksum holds.
	maxTrailerSize = 4096
	// MaxIndexSize bounds the memory that an unknown file can make a reader use.
	MaxIndexSize      = 16 << 20
	maxSignaturesSize = 64 << 10
)

// trailer is the fixed-size end of a bundle. All offsets count from the bundle's first byte.
type trailer struct {
	bundleSize       int64 // everything: archive, index, signatures, trailer
	archiveSize      int64 // the archive begins at 0
	indexOffset      int64
	indexSize        int64
	signaturesOffset int64
	signaturesSize   int64
	indexSum         [sha256.Size]byte
	signaturesSum    [sha256.Size]byte
}

// layOut fills in the offsets and the total from the sizes.
func (t *trailer) layOut() {
	t.indexOffset = t.archiveSize
	t.signaturesOffset = t.indexOffset + t.indexSize
	t.bundleSize = t.signaturesOffset + t.signaturesSize + trailerSize
}

func (t *trailer) encode() []byte {
	b := make([]byte, 0, trailerSize)
	for _, n := range []int64{t.bundleSize, t.archiveSize, t.indexOffset, t.indexSize, t.signaturesOffset, t.signaturesSize} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	b = append(b, t.indexSum[:]...)
	b = append(b, t.signaturesSum[:]...)
	end := binary.LittleEndian.AppendUint32(nil, FormatVersion)
	end = binary.LittleEndian.AppendUint32(end, trailerSize)
	end = append(end, magic...)
	sum := trailerSum(b, end)
	return append(append(b, sum[:]...), end...)
}

// trailerSum is the checksum over a trailer of any version: all of it but the checksum's own 32 bytes.
func trailerSum(head, end []byte) [sha256.Size]byte {
	return sha256.Sum256(append(bytes.Clone(head), end...))
}

// footer is the part of a trailer that no version will ever change.
type footer struct {
	sum     []byte
	version uint32
	size    uint32
}

// parseFooter reads the last footerSize bytes of a file; ok is false if they don't end in the magic.
func parseFooter(b []byte) (f footer, ok bool) {
	if len(b) != footerSize || string(b[footerSize-len(magic):]) != magic {
		return footer{}, false
	}
	return footer{
		sum:     b[:sha256.Size],
		version: binary.LittleEndian.Uint32(b[32:]),
		size:    binary.LittleEndian.Uint32(b[36:]),
	}, true
}

// sound reports whether a whole trailer, b, of any version matches its checksum.
func sound(b []byte) bool {
	head, foot := b[:len(b)-footerSize], b[len(b)-footerSize:]
	sum := trailerSum(head, foot[sha256.Size:])
	return bytes.Equal(sum[:], foot[:sha256.Size])
}

var errLayout = errors.New("its offsets and sizes contradict each other")

// parseTrailer decodes a version 1 trailer whose checksum was found right, and checks that the sections follow each
// other without gap. It does not know the file's size.
func parseTrailer(b []byte) (trailer, error) {
	var t trailer
	for i, field := range []*int64{&t.bundleSize, &t.archiveSize, &t.indexOffset, &t.indexSize, &t.signaturesOffset, &t.signaturesSize} {
		n := binary.LittleEndian.Uint64(b[8*i:])
		if n > math.MaxInt64/8 { // leaves room to add a few of them
			return trailer{}, errLayout
		}
		*field = int64(n)
	}
	copy(t.indexSum[:], b[48:])
	copy(t.signaturesSum[:], b[80:])
	want := t
	want.layOut()
	if t != want {
		return trailer{}, errLayout
	}
	return t, nil
}
