package debian

import (
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// libraryDirs are where Debian puts shared libraries, relative to the root.
var libraryDirs = []string{"lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"}

// LoaderName is the dynamic loader's file.
const LoaderName = "ld-linux-x86-64.so.2"

// ErrMissing is returned for a library that no unpacked package has.
var ErrMissing = errors.New("library is in none of the packages")

// Closure returns the shared libraries under root that the given executables and libraries need, and those that they
// need in turn: name as asked for -> path of the file. The dynamic loader is always among them.
// What a program opens by name at run time is not found this way: pass it too.
func Closure(root string, files []string) (map[string]string, error) {
	found := map[string]string{}
	queue := slices.Clone(files)
	loader, err := findLibrary(root, LoaderName)
	if err != nil {
		return nil, err
	}
	found[LoaderName] = loader
	for len(queue) > 0 {
		needed, err := neededBy(queue[0])
		if err != nil {
			return nil, err
		}
		for _, name := range needed {
			if _, ok := found[name]; ok {
				continue
			}
			path, err := findLibrary(root, name)
			if err != nil {
				return nil, fmt.Errorf("%s needs %w", filepath.Base(queue[0]), err)
			}
			found[name] = path
			queue = append(queue, path)
		}
		queue = queue[1:]
	}
	return found, nil
}

func neededBy(path string) ([]string, error) {
	file, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer file.Close()
	return file.ImportedLibraries()
}

func findLibrary(root, name string) (string, error) {
	for _, dir := range libraryDirs {
		path, err := Resolve(root, filepath.Join(dir, name))
		if err == nil {
			return path, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", fmt.Errorf("%s: %w; add its package to the lock file", name, ErrMissing)
}

// Resolve returns the regular file that name leads to when root is the root directory. Absolute links stay inside.
func Resolve(root, name string) (string, error) {
	path := filepath.Join(root, name)
	for range 40 { // the kernel's own limit for links
		info, err := os.Lstat(path)
		if err != nil {
			return "", err
		}
		if info.Mode().IsRegular() {
			return path, nil
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return "", fmt.Errorf("%s is no file", path)
		}
		target, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if strings.HasPrefix(target, "/") {
			path = filepath.Join(root, target)
		} else {
			path = filepath.Join(filepath.Dir(path), target)
		}
	}
	return "", fmt.Errorf("%s: too many links", name)
}
