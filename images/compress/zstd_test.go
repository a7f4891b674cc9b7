package compress

import (
	"bytes"
	"io"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

func TestCompress(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("needs Debian's zstd package")
	}
	random := rand.New(rand.NewPCG(1, 2))
	mixed := make([]byte, 3<<20)
	for i := range mixed {
		mixed[i] = byte(random.IntN(7))
	}
	cases := map[string][]byte{"empty": {}, "text": []byte(strings.Repeat("hello ", 100)), "large": mixed}
	for name, content := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var first, second bytes.Buffer
			z := Zstd{Program: program, Level: 3}
			for _, out := range []*bytes.Buffer{&first, &second} {
				if err := z.Compress(t.Context(), out, bytes.NewReader(content), int64(len(content))); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(first.Bytes(), second.Bytes()) {
				t.Error("the same input gave other bytes")
			}
			decoder, err := zstd.NewReader(&first)
			if err != nil {
				t.Fatal(err)
			}
			defer decoder.Close()
			if back, err := io.ReadAll(decoder); err != nil || !bytes.Equal(back, content) {
				t.Errorf("decoded %d bytes of %d, error %v", len(back), len(content), err)
			}
		})
	}
}

func TestCompressReportsWrongSize(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("zstd")
	if err != nil {
		t.Skip("needs Debian's zstd package")
	}
	err = Zstd{Program: program, Level: 3}.Compress(t.Context(), io.Discard, strings.NewReader("four"), 5)
	if err == nil || !strings.Contains(err.Error(), "zstd") {
		t.Errorf("error %v; want zstd's", err)
	}
}
