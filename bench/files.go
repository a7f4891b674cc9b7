package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/klauspost/compress/zstd"

	"islet/bundle"
	"islet/bundle/trust"
)

const mebibyte = 1 << 20

// files measures what can be seen without starting anything.
func (b *bench) files(ctx context.Context) error {
	b.say("sizes")
	r, err := bundle.Open(b.appliance, trust.Set{}.Lenient())
	if err != nil {
		return err
	}
	defer r.Close()
	var engines int64
	for _, c := range r.Components() {
		if c.Kind != bundle.KindEngine {
			continue
		}
		list, err := bundle.EngineFiles(ctx, r, c)
		if err != nil {
			return err
		}
		for _, f := range list {
			engines += f.Layer.Size
		}
	}
	cli, err := compressedSize(b.appliance, r.Offset())
	if err != nil {
		return err
	}
	b.table.add(row{what: "engines and CLI, compressed", unit: "MiB", value: float64(engines+cli) / mebibyte, target: 75})
	b.table.add(row{what: "  of which the CLI", unit: "MiB", value: float64(cli) / mebibyte})
	info, err := os.Stat(b.appliance)
	if err != nil {
		return err
	}
	b.table.add(row{what: "the whole file, with images", unit: "MiB", value: float64(info.Size()) / mebibyte})
	var times []float64
	for range 20 {
		begun := time.Now()
		if err := exec.CommandContext(ctx, b.appliance, "version").Run(); err != nil {
			return err
		}
		times = append(times, float64(time.Since(begun).Microseconds())/1000)
	}
	b.table.add(row{what: "appliance version", unit: "ms", value: median(times), target: 50})
	return nil
}

// compressedSize is the size of the executable in front of the bundle, as the engines are packed.
func compressedSize(path string, length int64) (n int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	var count counter
	w, err := zstd.NewWriter(&count, zstd.WithEncoderLevel(zstd.SpeedBestCompression))
	if err != nil {
		return 0, err
	}
	if _, err := io.CopyN(w, f, length); err != nil {
		return 0, err
	}
	return int64(count), w.Close()
}

type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// plainCopy is the time to write n bytes to dir and sync them, in seconds.
func plainCopy(from, dir string, n int64) (seconds float64, err error) {
	in, err := os.Open(from)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	path := filepath.Join(dir, "bench-copy")
	out, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close(), os.Remove(path)) }()
	begun := time.Now()
	for n > 0 {
		copied, err := io.CopyN(out, in, n)
		n -= copied
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if _, err := in.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
	}
	if err := out.Sync(); err != nil {
		return 0, err
	}
	return time.Since(begun).Seconds(), nil
}
