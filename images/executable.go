package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"islet/images/sbom"
)

// executable is a built program in the cache.
type executable struct {
	file   File
	cached string // name in the cache
	path   string
	size   int64
	digest digest.Digest
}

// fileKey identifies what the file is made from.
func (b *builder) fileKey(file File) (string, error) {
	if file.C != nil {
		return file.C.Key(b.root, b.gccVersion)
	}
	if file.Make != nil {
		source, err := b.lock.Source(file.Make.Source)
		return file.Make.Key(b.gccVersion, source.SHA256), err
	}
	compiler := b.goVersion
	if file.Go.CGO {
		compiler += " " + b.gccVersion
	}
	return file.Go.Key(b.root, compiler)
}

// keyOf combines what a component's key depends on.
func (b *builder) keyOf(files []File, more ...string) (string, error) {
	parts := append([]string{recipeVersion, fmt.Sprint(b.lock.SourceDateEpoch), fmt.Sprint(compressionLevel)}, more...)
	for _, file := range files {
		key, err := b.fileKey(file)
		if err != nil {
			return "", fmt.Errorf("%s: %w", file.Path, err)
		}
		parts = append(parts, file.Path, strings.Join(file.Links, ","), key)
	}
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:]), nil
}

// executable builds the file, unless the cache has it.
func (b *builder) executable(ctx context.Context, file File) (executable, error) {
	key, err := b.fileKey(file)
	if err != nil {
		return executable{}, err
	}
	e := executable{file: file, cached: key, path: b.cached("bin", key)}
	if _, err := os.Stat(e.path); errors.Is(err, fs.ErrNotExist) {
		b.log.Info("compiling", "file", file.Path)
		// A killed build leaves a name that is not a key; clean removes it.
		unfinished := e.path + ".unfinished"
		if err := b.compile(ctx, file, unfinished); err != nil {
			return executable{}, err
		}
		if err := os.Rename(unfinished, e.path); err != nil {
			return executable{}, err
		}
	} else if err != nil {
		return executable{}, err
	}
	e.digest, e.size, err = digestFile(e.path)
	return e, err
}

func (b *builder) compile(ctx context.Context, file File, out string) error {
	switch {
	case file.C != nil:
		return file.C.Build(ctx, b.root, out)
	case file.Go != nil:
		return file.Go.Build(ctx, b.root, out)
	}
	source, err := b.lock.Source(file.Make.Source)
	if err != nil {
		return err
	}
	archive, err := source.Fetch(ctx, b.cached("deb", ""))
	if err != nil {
		return err
	}
	if archive, err = filepath.Abs(archive); err != nil {
		return err
	}
	return file.Make.Build(ctx, archive, out)
}

// parts says what is in the executable.
func (b *builder) parts(e executable) ([]sbom.Component, error) {
	if e.file.Go != nil {
		return sbom.Modules(e.path, b.moduleCache)
	}
	if e.file.Make != nil {
		s, err := b.lock.Source(e.file.Make.Source)
		return []sbom.Component{{Name: s.Name, Version: s.Version, PURL: s.PURL(b.lock.Debian.Suite), SHA256: s.SHA256, Licenses: []string{s.License}}}, err
	}
	return []sbom.Component{{Name: "islet/" + e.file.C.Source, Licenses: []string{"Apache-2.0"}}}, nil
}

func digestFile(path string) (digest.Digest, int64, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err := io.Copy(hash, file)
	return digest.NewDigest(digest.SHA256, hash), size, err
}

// copyFile returns a function that writes the file's content.
func copyFile(path string) func(io.Writer) error {
	return func(w io.Writer) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		_, err = io.Copy(w, file)
		return err
	}
}
