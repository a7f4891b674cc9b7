package images

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/opencontainers/go-digest"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/images/compress"
	"islet/images/debian"
	"islet/images/oci"
)

// compressionLevel is zstd's. 19 is the strongest that unpacks in 8 MiB of memory; above it nothing is gained: measured
// on the store engine, 22 and long-distance matching save 0.2 %. For image layers it was measured against gzip -9: 26 %
// smaller, and containerd imports them 1.8 times as fast.
const compressionLevel = 19

// pack stores content of a known digest and size compressed, unless that was done before. write may be called or not.
func (b *builder) pack(ctx context.Context, mediaType string, of digest.Digest, size int64, write func(io.Writer) error) (v1.Descriptor, error) {
	if b.zstd.Program == "" {
		if err := b.fetchZstd(ctx); err != nil {
			return v1.Descriptor{}, err
		}
	}
	note := b.cached("packed", of.Encoded()+"-"+b.zstd.ID())
	if content, err := os.ReadFile(note); err == nil {
		var known v1.Descriptor
		if json.Unmarshal(content, &known) == nil && b.layout.Has(known) {
			known.MediaType = mediaType
			return known, nil
		}
	}
	packed, err := b.layout.Put(mediaType, func(dst io.Writer) error {
		src, feed := io.Pipe()
		fed := make(chan error, 1)
		go func() {
			err := write(feed)
			feed.CloseWithError(err) // nil ends the stream; it returns no error
			fed <- err
		}()
		err := b.zstd.Compress(ctx, dst, src, size)
		return errors.Join(err, src.Close(), <-fed)
	})
	if err != nil {
		return v1.Descriptor{}, err
	}
	content, err := json.Marshal(packed)
	if err != nil {
		return v1.Descriptor{}, err
	}
	return packed, oci.WriteFile(note, content, 0o644)
}

// fetchZstd takes the zstd program of the lock file, not this machine's: another version may compress to other bytes.
func (b *builder) fetchZstd(ctx context.Context) error {
	p, err := b.lock.Package("zstd")
	if err != nil {
		return err
	}
	deb, err := p.Fetch(ctx, b.cached("deb", ""))
	if err != nil {
		return err
	}
	dir := b.cached("deb", p.SHA256)
	if err := debian.Unpack(ctx, deb, dir); err != nil {
		return err
	}
	b.zstd = compress.Zstd{Program: filepath.Join(dir, "usr/bin/zstd"), Level: compressionLevel}
	return nil
}
