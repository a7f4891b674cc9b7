package bundle

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/bundle/trust"
)

// forge builds a bundle whose checksums are all right around an archive, index and trailer of the caller's choice.
func forge(t testing.TB, archive []byte, index any, spoil func(*trailer)) []byte {
	t.Helper()
	raw, ok := index.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(index); err != nil {
			t.Fatal(err)
		}
	}
	tr := trailer{archiveSize: int64(len(archive)), indexSize: int64(len(raw)), indexSum: sha256.Sum256(raw), signaturesSum: sha256.Sum256(nil)}
	tr.layOut()
	if spoil != nil {
		spoil(&tr)
	}
	return bytes.Join([][]byte{archive, raw, tr.encode()}, nil)
}

func sampleIndex(archive []byte) Index {
	a, b := digest.FromString("a"), digest.FromString("b")
	return Index{
		FormatVersion: 1, Name: "n", Version: "1", Kind: "platform",
		Archive: Archive{Size: int64(len(archive)), FrameDigest: digest.FromString("frame")},
		Blobs:   []Blob{{Digest: a, Size: 10, Offset: 0}, {Digest: b, Size: 10, Offset: 10}},
		Components: []Component{
			{Kind: KindDocs, Name: "d", Descriptor: v1.Descriptor{Digest: a, Size: 10}},
		},
	}
}

func TestForgedIndex(t *testing.T) {
	t.Parallel()
	archive := make([]byte, 100)
	cases := []struct {
		name  string
		spoil func(*Index)
		want  string
	}{
		{"as it should be", func(*Index) {}, ""},
		{"format version", func(x *Index) { x.FormatVersion = 2 }, "formatVersion"},
		{"no name", func(x *Index) { x.Name = "" }, "name:"},
		{"escape sequence in the version", func(x *Index) { x.Version = "1\x1b[2J" }, "version:"},
		{"archive size", func(x *Index) { x.Archive.Size++ }, "archive.size"},
		{"frame digest", func(x *Index) { x.Archive.FrameDigest = "sha256:12" }, "frameDigest"},
		{"digest twice", func(x *Index) { x.Blobs[1].Digest = x.Blobs[0].Digest }, "listed twice"},
		{"overlap", func(x *Index) { x.Blobs[1].Offset = 9 }, "inside or before"},
		{"out of order", func(x *Index) { x.Blobs[0], x.Blobs[1] = x.Blobs[1], x.Blobs[0] }, "inside or before"},
		{"behind the archive", func(x *Index) { x.Blobs[1].Offset = 91 }, "outside"},
		{"size of all there is", func(x *Index) { x.Blobs[1].Size = math.MaxInt64 }, "outside"},
		{"offset of all there is", func(x *Index) { x.Blobs[1].Offset = math.MaxInt64 }, "outside"},
		{"negative size", func(x *Index) { x.Blobs[1].Size = -1 }, "outside"},
		{"negative offset", func(x *Index) { x.Blobs[1].Offset = -1 }, "outside"},
		{"other digest algorithm", func(x *Index) { x.Blobs[1].Digest = digest.SHA512.FromString("b") }, "not a sha256"},
		{"path as a digest", func(x *Index) { x.Blobs[1].Digest = "sha256:../../etc/passwd" }, "not a sha256"},
		{"component without its blob", func(x *Index) { x.Components[0].Descriptor.Digest = digest.FromString("c") }, "not among the blobs"},
		{"component of another size", func(x *Index) { x.Components[0].Descriptor.Size = 11 }, "not among the blobs"},
		{"component twice", func(x *Index) { x.Components = append(x.Components, x.Components[0]) }, "listed twice"},
		{"component without a kind", func(x *Index) { x.Components[0].Kind = "" }, "kind"},
		{"image without a reference", func(x *Index) { x.Components[0].Kind = KindImage }, "no reference"},
		{"sbom of nothing", func(x *Index) { x.Components[0].Kind = KindSBOM }, "subject"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			x := sampleIndex(archive)
			c.spoil(&x)
			_, err := openBytes(forge(t, archive, x, nil))
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %v with %q", err, ErrInvalid, c.want)
			}
		})
	}
}

func TestForgedTrailer(t *testing.T) {
	t.Parallel()
	archive := make([]byte, 100)
	cases := []struct {
		name  string
		spoil func(*trailer)
		want  error
	}{
		{"index of a terabyte", func(tr *trailer) { tr.indexSize = 1 << 40; tr.layOut() }, ErrTruncated},
		{"larger than the file", func(tr *trailer) { tr.archiveSize++; tr.layOut() }, ErrTruncated},
		{"index offset", func(tr *trailer) { tr.indexOffset-- }, ErrInvalid},
		{"index over the limit", func(tr *trailer) {
			tr.archiveSize, tr.indexSize = 0, MaxIndexSize+1
			tr.layOut()
		}, ErrOversized},
		{"signatures over the limit", func(tr *trailer) {
			tr.archiveSize, tr.signaturesSize = 0, maxSignaturesSize+1
			tr.layOut()
		}, ErrOversized},
		{"sizes that overflow", func(tr *trailer) { tr.archiveSize, tr.indexSize = math.MaxInt64, math.MaxInt64 }, ErrInvalid},
		{"negative size", func(tr *trailer) { tr.signaturesSize = -1 }, ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			content := forge(t, archive, sampleIndex(archive), c.spoil)
			if errors.Is(c.want, ErrOversized) {
				content = append(make([]byte, MaxIndexSize+1), content...)
			}
			if _, err := openBytes(content); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestForgedSignature(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(sampleIndex(nil))
	if err != nil {
		t.Fatal(err)
	}
	private := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	key := trust.Key{Name: "k", Class: trust.Release, Public: private.Public().(ed25519.PublicKey)}
	good := ed25519.Sign(private, append([]byte(signatureDomain), raw...))
	cases := []struct {
		name    string
		section any
		want    error
	}{
		{"right", signatureSection{[]signatureEntry{{key.ID(), algorithmEd25519, good}}}, nil},
		{"without the domain", signatureSection{[]signatureEntry{{key.ID(), algorithmEd25519, ed25519.Sign(private, raw)}}}, ErrAltered},
		{"empty signature", signatureSection{[]signatureEntry{{key.ID(), algorithmEd25519, nil}}}, ErrAltered},
		{"right and wrong", signatureSection{[]signatureEntry{{key.ID(), algorithmEd25519, good}, {key.ID(), algorithmEd25519, good[1:]}}}, ErrAltered},
		{"unknown key", signatureSection{[]signatureEntry{{"0011223344556677", algorithmEd25519, good}}}, ErrUntrusted},
		{"unknown algorithm", signatureSection{[]signatureEntry{{key.ID(), "later", good}}}, ErrUntrusted},
		{"unknown algorithm beside a right one", signatureSection{[]signatureEntry{{key.ID(), "later", nil}, {key.ID(), algorithmEd25519, good}}}, nil},
		{"no signatures", signatureSection{}, ErrUnsigned},
		{"no JSON", 12, ErrInvalid},
		{"escape sequence in the key id", signatureSection{[]signatureEntry{{"\x1b[2J", algorithmEd25519, good}}}, ErrInvalid},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			section, err := json.Marshal(c.section)
			if err != nil {
				t.Fatal(err)
			}
			if _, refused := checkSignatures(raw, section, trust.NewSet(key)); c.want == nil && refused != nil || c.want != nil && !errors.Is(refused, c.want) {
				t.Errorf("got %v, want %v", refused, c.want)
			}
		})
	}
}

// A future trailer may have any size and any fields, as long as its end stays what it is.
func TestNewerFormat(t *testing.T) {
	t.Parallel()
	for _, size := range []uint32{footerSize, 200, maxTrailerSize} {
		head := bytes.Repeat([]byte{7}, int(size)-footerSize)
		end := binary.LittleEndian.AppendUint32(nil, FormatVersion+1)
		end = append(binary.LittleEndian.AppendUint32(end, size), magic...)
		sum := trailerSum(head, end)
		content := bytes.Join([][]byte{make([]byte, 1000), head, sum[:], end}, nil)
		if _, err := openBytes(content); !errors.Is(err, ErrNewer) {
			t.Errorf("trailer of %d bytes: %v, want %v", size, err, ErrNewer)
		}
		content[1000+int(size)-footerSize] ^= 1
		if _, err := openBytes(content); !errors.Is(err, ErrAltered) {
			t.Errorf("the same with a flipped bit: %v, want %v", err, ErrAltered)
		}
	}
}

func TestPadLargeBlob(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, 1, maxOctalSize, maxOctalSize + 1, 1 << 40} {
		for before := int64(0); before < 2*pageSize; before += tarBlock {
			archive := newArchiveWriter(new(bytes.Buffer), sampleIndex(nil).Created)
			archive.out.n = before
			header := archive.header(blobPath(digest.FromString("x")), size)
			pad(header, before)
			if err := archive.tar.WriteHeader(header); err != nil {
				t.Fatal(err)
			}
			if archive.out.n%pageSize != 0 || archive.out.n > before+2*pageSize+2*tarBlock {
				t.Errorf("blob of %d bytes written at %d begins at %d", size, before, archive.out.n)
			}
		}
	}
}

func openBytes(content []byte) (*Reader, error) {
	return NewReader(bytes.NewReader(content), int64(len(content)), trust.Set{}.Lenient())
}
