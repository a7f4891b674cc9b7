package lab

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// mirrorDir creates a directory of the machine in the upper layer with the same modes, so that files can be put into it.
// Where the machine has none, it is created like mkdir -p would.
func (d disk) mirrorDir(dir string) error {
	if dir == "/" {
		return nil
	}
	if err := d.mirrorDir(filepath.Dir(dir)); err != nil {
		return err
	}
	mode := fs.FileMode(0o755)
	if info, err := os.Lstat(dir); err == nil && info.IsDir() {
		mode = info.Mode().Perm()
	} else if top, _, _ := strings.Cut(dir[1:], "/"); err == nil && seen(top) {
		return fmt.Errorf("create disk: %s is not a directory on this machine; name what it links to", dir)
	}
	if err := makeDir(d.path(dir), mode); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// put writes a file of the host while it is off.
func (d disk) put(path string, file File) error {
	if file.Mode == 0 {
		file.Mode = 0o644
	}
	if err := d.mirrorDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.WriteFile(d.path(path), file.Data, file.Mode); err != nil {
		return fmt.Errorf("put %s onto disk: %w", path, err)
	}
	if err := os.Chmod(d.path(path), file.Mode); err != nil {
		return fmt.Errorf("put %s onto disk: %w", path, err)
	}
	return nil
}

// identity writes the files that tell one host from another.
func (d disk) identity(host hostRecord, hosts []hostRecord) error {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	var names strings.Builder
	names.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, h := range hosts {
		names.WriteString(h.Addr.String() + "\t" + h.Name + "\n")
	}
	for path, content := range map[string]string{
		"/etc/hostname": host.Name + "\n", "/etc/hosts": names.String(), "/etc/resolv.conf": "",
		"/etc/machine-id": hex.EncodeToString(id[:]) + "\n",
	} {
		if err := d.put(path, File{Data: []byte(content)}); err != nil {
			return err
		}
	}
	return nil
}

// link gives the host the lab's copy of a file without copying it again. The host may replace it by another, as an upgrade
// does, but must not write into it: that shows in all hosts.
func (d disk) link(shared, path string) error {
	if err := d.mirrorDir(filepath.Dir(path)); err != nil {
		return err
	}
	if err := os.Link(shared, d.path(path)); err != nil {
		return fmt.Errorf("put shared file onto disk: %w", err)
	}
	return nil
}

// copyShared copies a file for all hosts, sharing its blocks where the file system can.
func copyShared(from, to string) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return fmt.Errorf("copy shared file: %w", err)
	}
	defer source.Close()
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("copy shared file: %w", err)
	}
	info, err := source.Stat()
	if err != nil {
		return fmt.Errorf("copy shared file: %w", err)
	}
	target, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm())
	if err != nil {
		return fmt.Errorf("copy shared file: %w", err)
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if err := target.Chmod(info.Mode().Perm()); err != nil {
		return fmt.Errorf("copy shared file: %w", err)
	}
	if err := unix.IoctlFileClone(int(target.Fd()), int(source.Fd())); err == nil {
		return nil
	}
	if _, err := io.Copy(target, source); err != nil {
		return fmt.Errorf("copy shared file %s to %s: %w", from, to, err)
	}
	return nil
}
