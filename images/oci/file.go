package oci

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes content to path so that a reader, or a power cut, finds the old file or the new one.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already if all went well
	defer temp.Close()
	if _, err := temp.Write(content); err != nil {
		return err
	}
	return install(temp, path, mode)
}

// install makes a written temporary file durable under its final name and closes it.
func install(temp *os.File, path string, mode fs.FileMode) error {
	if err := errors.Join(temp.Chmod(mode), temp.Sync()); err != nil {
		return err
	}
	if err := temp.Close(); err != nil {
		return err
	}
	if err := os.Rename(temp.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
