package oci

import (
	"archive/tar"
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Entry is a file or a symbolic link of a layer. Everything belongs to user and group 0.
type Entry struct {
	Path   string      // absolute, or relative to the root
	Mode   fs.FileMode // permission bits
	Source string      // the file on this machine whose content it gets; empty for a link
	Link   string      // target of a symbolic link
}

// WriteTar writes the entries and the directories above them as a tar stream that depends on nothing else:
// sorted, one time for all, no names of users.
func WriteTar(w io.Writer, entries []Entry, modified time.Time) error {
	sorted := slices.Clone(entries)
	for i := range sorted {
		sorted[i].Path = strings.TrimPrefix(path.Clean("/"+sorted[i].Path), "/")
	}
	slices.SortFunc(sorted, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	archive := tar.NewWriter(w)
	written := map[string]bool{".": true}
	for _, entry := range sorted {
		if written[entry.Path] {
			return fmt.Errorf("layer holds %s twice", entry.Path)
		}
		if err := writeParents(archive, path.Dir(entry.Path), written, modified); err != nil {
			return err
		}
		if err := writeEntry(archive, entry, modified); err != nil {
			return fmt.Errorf("put %s into layer: %w", entry.Path, err)
		}
		written[entry.Path] = true
	}
	return archive.Close()
}

func writeParents(archive *tar.Writer, dir string, written map[string]bool, modified time.Time) error {
	if written[dir] {
		return nil
	}
	if err := writeParents(archive, path.Dir(dir), written, modified); err != nil {
		return err
	}
	written[dir] = true
	return archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: modified})
}

func writeEntry(archive *tar.Writer, entry Entry, modified time.Time) error {
	if entry.Link != "" {
		return archive.WriteHeader(&tar.Header{
			Typeflag: tar.TypeSymlink, Name: entry.Path, Linkname: entry.Link, Mode: 0o777, ModTime: modified,
		})
	}
	file, err := os.Open(entry.Source)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{
		Typeflag: tar.TypeReg, Name: entry.Path, Size: info.Size(), Mode: int64(entry.Mode.Perm()), ModTime: modified,
	}
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(archive, file)
	return err
}
