package bundle

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// markerName is the first entry of the archive and so the first bytes of a bundle: it tells a bundle that lost its end
// from a file that never was one.
const markerName = "islet-bundle"

// pageSize is what bundles and blobs are aligned to, for readers that map them.
const pageSize = 4096

// locate finds the trailer at the end of content and returns it with the offset of the bundle's first byte.
func locate(content io.ReaderAt, size int64) (trailer, int64, error) {
	tail := make([]byte, min(size, footerSize))
	if err := readAt(content, tail, size-int64(len(tail))); err != nil {
		return trailer{}, 0, err
	}
	foot, ok := parseFooter(tail)
	if !ok {
		return trailer{}, 0, explainMissing(content, size)
	}
	if foot.size < footerSize || foot.size > maxTrailerSize || int64(foot.size) > size {
		return trailer{}, 0, &Error{Reason: ErrAltered, Detail: fmt.Sprintf("the trailer gives its own size as %d bytes", foot.size)}
	}
	raw := make([]byte, foot.size)
	if err := readAt(content, raw, size-int64(foot.size)); err != nil {
		return trailer{}, 0, err
	}
	if !sound(raw) {
		return trailer{}, 0, &Error{Reason: ErrAltered, Detail: "the trailer at the file's end does not match its checksum"}
	}
	if foot.version > FormatVersion {
		return trailer{}, 0, &Error{Reason: ErrNewer, Detail: fmt.Sprintf("format %d, this executable reads up to %d", foot.version, FormatVersion)}
	}
	if foot.version != FormatVersion || foot.size != trailerSize {
		return trailer{}, 0, &Error{Reason: ErrInvalid, Detail: fmt.Sprintf("trailer of format %d has %d bytes", foot.version, foot.size)}
	}
	return checkTrailer(raw, size)
}

func checkTrailer(raw []byte, size int64) (trailer, int64, error) {
	t, err := parseTrailer(raw)
	if err != nil {
		return trailer{}, 0, &Error{Reason: ErrInvalid, Detail: fmt.Sprintf("trailer: %v", err)}
	}
	if t.bundleSize > size {
		return trailer{}, 0, &Error{Reason: ErrTruncated, Detail: fmt.Sprintf("the bundle has %d bytes, of which the file holds the last %d", t.bundleSize, size)}
	}
	if t.indexSize > MaxIndexSize {
		return trailer{}, 0, &Error{Reason: ErrOversized, Detail: fmt.Sprintf("index of %d bytes, limit %d", t.indexSize, MaxIndexSize)}
	}
	if t.signaturesSize > maxSignaturesSize {
		return trailer{}, 0, &Error{Reason: ErrOversized, Detail: fmt.Sprintf("signature section of %d bytes, limit %d", t.signaturesSize, maxSignaturesSize)}
	}
	return t, size - t.bundleSize, nil
}

// explainMissing says why the file's end is not a trailer: its end is missing or damaged, or it never had one.
func explainMissing(content io.ReaderAt, size int64) error {
	if size == 0 {
		return &Error{Reason: ErrForeign, Detail: "the file is empty"}
	}
	start := int64(0)
	end, executable := elfEnd(content)
	if executable {
		start = alignUp(end)
	}
	if !hasMarker(content, start) {
		if executable && size >= end {
			return &Error{Reason: ErrForeign, Detail: "an executable without a bundle appended"}
		}
		if executable {
			return &Error{Reason: ErrTruncated, Detail: fmt.Sprintf("an executable of at least %d bytes, of which %d are here", end, size)}
		}
		return &Error{Reason: ErrForeign, Detail: "the file neither begins nor ends like a bundle"}
	}
	if raw := make([]byte, trailerSize); size >= trailerSize && readAt(content, raw, size-trailerSize) == nil {
		if t, err := parseTrailer(raw); err == nil && start+t.bundleSize == size {
			return &Error{Reason: ErrAltered, Detail: "the magic at the file's end is damaged"}
		}
	}
	return &Error{Reason: ErrTruncated, Detail: fmt.Sprintf("the bundle that begins at byte %d does not end with a trailer; the file has %d bytes", start, size)}
}

// hasMarker reports whether a bundle's archive begins at offset.
func hasMarker(content io.ReaderAt, offset int64) bool {
	name := make([]byte, len(markerName)+1)
	return readAt(content, name, offset) == nil && bytes.Equal(name, []byte(markerName+"\x00"))
}

// elfEnd returns the size of the 64-bit little-endian ELF file that content begins with, without anything appended to it.
func elfEnd(content io.ReaderAt) (end int64, ok bool) {
	var head elf.Header64
	if binary.Read(io.NewSectionReader(content, 0, 64), binary.LittleEndian, &head) != nil ||
		string(head.Ident[:4]) != elf.ELFMAG || head.Ident[elf.EI_CLASS] != byte(elf.ELFCLASS64) ||
		head.Ident[elf.EI_DATA] != byte(elf.ELFDATA2LSB) {
		return 0, false
	}
	const limit = 1 << 40 // a nonsense header must not overflow the sums below
	if head.Shoff > limit {
		return 0, false
	}
	sections := make([]elf.Section64, head.Shnum)
	table := io.NewSectionReader(content, int64(head.Shoff), int64(head.Shnum)*64)
	end = int64(head.Shoff) + table.Size()
	if binary.Read(table, binary.LittleEndian, sections) != nil {
		return end, true
	}
	for _, s := range sections {
		if elf.SectionType(s.Type) != elf.SHT_NOBITS && s.Off < limit && s.Size < limit {
			end = max(end, int64(s.Off+s.Size))
		}
	}
	return end, true
}

func alignUp(n int64) int64 { return (n + pageSize - 1) / pageSize * pageSize }

// readAt fills p from offset; the end of the file in the middle of it is an error.
func readAt(content io.ReaderAt, p []byte, offset int64) error {
	n, err := content.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d: %w", len(p), offset, err)
}
