package bundle_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"testing"

	"islet/bundle/bundletest"
)

// This file reads a bundle by docs/bundle-format.md alone: it takes the trailer's offsets from the document's table and
// uses nothing of package bundle. If it fails, the document and the program have parted.

// documentedFields returns the rows of the table "| offset | size | field | ..." in the document.
func documentedFields(t testing.TB) map[string][2]int {
	t.Helper()
	text, err := os.ReadFile("../docs/bundle-format.md")
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string][2]int{}
	end := 0
	for _, row := range regexp.MustCompile("(?m)^\\| (\\d+) \\| (\\d+) \\| `(\\w+)` \\|").FindAllSubmatch(text, -1) {
		offset, _ := strconv.Atoi(string(row[1]))
		size, _ := strconv.Atoi(string(row[2]))
		if offset != end {
			t.Fatalf("field %s begins at %d, the one before it ends at %d", row[3], offset, end)
		}
		end = offset + size
		fields[string(row[3])] = [2]int{offset, size}
	}
	if end != 160 || len(fields) != 12 {
		t.Fatalf("the table has %d fields in %d bytes", len(fields), end)
	}
	return fields
}

func TestReadByTheDocument(t *testing.T) {
	t.Parallel()
	fields := documentedFields(t)
	content, key := signed(t, bundletest.Sample(t))
	file := append(bytes.Repeat([]byte{0x90}, 8192), content...) // appended to something
	trailer := file[len(file)-160:]
	field := func(name string) []byte {
		f, ok := fields[name]
		if !ok {
			t.Fatalf("the document has no field %s", name)
		}
		return trailer[f[0] : f[0]+f[1]]
	}
	number := func(name string) int { return int(binary.LittleEndian.Uint64(field(name))) }

	if string(field("magic")) != "ISLETBDL" || binary.LittleEndian.Uint32(field("format_version")) != 1 ||
		binary.LittleEndian.Uint32(field("trailer_size")) != 160 {
		t.Fatalf("trailer % x", trailer)
	}
	covered := append(bytes.Clone(trailer[:112]), trailer[144:]...)
	if sum := sha256.Sum256(covered); !bytes.Equal(sum[:], field("checksum")) {
		t.Error("checksum of the trailer")
	}
	start := len(file) - number("bundle_size")
	section := func(offset, size string) []byte {
		return file[start+number(offset) : start+number(offset)+number(size)]
	}
	index, signatures := section("index_offset", "index_size"), section("signatures_offset", "signatures_size")
	if sum := sha256.Sum256(index); !bytes.Equal(sum[:], field("index_sha256")) {
		t.Error("checksum of the index")
	}
	if sum := sha256.Sum256(signatures); !bytes.Equal(sum[:], field("signatures_sha256")) {
		t.Error("checksum of the signatures")
	}
	checkDocumentedSignature(t, key.Public, index, signatures)
	checkDocumentedBlobs(t, file[start:start+number("archive_size")], index)
}

func checkDocumentedSignature(t *testing.T, public ed25519.PublicKey, index, raw []byte) {
	t.Helper()
	var section struct {
		Signatures []struct{ KeyID, Algorithm, Signature string }
	}
	if err := json.Unmarshal(raw, &section); err != nil || len(section.Signatures) != 1 {
		t.Fatalf("signatures %s, %v", raw, err)
	}
	s := section.Signatures[0]
	id := sha256.Sum256(public)
	if s.KeyID != hex.EncodeToString(id[:8]) || s.Algorithm != "ed25519" {
		t.Errorf("signature %+v", s)
	}
	signature, err := base64.StdEncoding.DecodeString(s.Signature)
	if err != nil || !ed25519.Verify(public, append([]byte("islet-bundle-index-v1\x00"), index...), signature) {
		t.Errorf("signature does not verify: %v", err)
	}
}

func checkDocumentedBlobs(t *testing.T, archive, raw []byte) {
	t.Helper()
	var index struct {
		Archive struct {
			Size        int
			FrameDigest string
		}
		Blobs []struct {
			Digest       string
			Size, Offset int
		}
	}
	if err := json.Unmarshal(raw, &index); err != nil || index.Archive.Size != len(archive) || len(index.Blobs) == 0 {
		t.Fatalf("index of %d blobs, archive of %d bytes, %v", len(index.Blobs), index.Archive.Size, err)
	}
	frame, at := sha256.New(), 0
	for _, b := range index.Blobs {
		frame.Write(archive[at:b.Offset])
		at = b.Offset + b.Size
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256(archive[b.Offset:at])); got != b.Digest {
			t.Errorf("blob at %d is %s, want %s", b.Offset, got, b.Digest)
		}
	}
	frame.Write(archive[at:])
	if got := fmt.Sprintf("sha256:%x", frame.Sum(nil)); got != index.Archive.FrameDigest {
		t.Errorf("frame digest %s, want %s", got, index.Archive.FrameDigest)
	}
	if !bytes.HasPrefix(archive, []byte("islet-bundle\x00")) {
		t.Error("the archive does not begin with the marker")
	}
}

// documentedTrailer writes a trailer for an unsigned bundle, as the document says.
func documentedTrailer(archiveSize int, index []byte) []byte {
	end := archiveSize + len(index)
	var b []byte
	for _, n := range []int{end + 160, archiveSize, archiveSize, len(index), end, 0} {
		b = binary.LittleEndian.AppendUint64(b, uint64(n))
	}
	indexSum, noneSum := sha256.Sum256(index), sha256.Sum256(nil)
	b = append(append(b, indexSum[:]...), noneSum[:]...)
	tail := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, 1), 160)
	tail = append(tail, "ISLETBDL"...)
	sum := sha256.Sum256(append(bytes.Clone(b), tail...))
	return append(append(b, sum[:]...), tail...)
}
