package guest

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// machineWide lists what in /proc belongs to the machine and not to a namespace. Hosts may read it.
func machineWide() []string {
	return []string{"sys/kernel", "sys/vm", "sys/fs", "sys/dev", "sysrq-trigger"}
}

// private lists the machine-wide settings that a kubelet insists on setting. A host gets a file of its own in their
// place, starting with the machine's value, so that the kubelet is content and the machine unchanged.
func private() []string {
	return []string{
		"sys/vm/overcommit_memory", "sys/vm/panic_on_oom", "sys/kernel/panic", "sys/kernel/panic_on_oops",
		"sys/kernel/keys/root_maxkeys", "sys/kernel/keys/root_maxbytes",
	}
}

// guardProc makes the machine-wide part of the host's /proc harmless and gives each boot a boot id of its own: the
// kubelet and the API tell a rebooted node by it. /tmp of the host must be a scratch tmpfs; it is unmounted, the files
// live on in their bind mounts.
func guardProc(root string) error {
	proc, scratch := filepath.Join(root, "proc"), filepath.Join(root, "tmp")
	contents := map[string][]byte{"sys/kernel/random/boot_id": []byte(newBootID() + "\n")}
	for _, name := range private() {
		value, err := os.ReadFile(filepath.Join(proc, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read machine setting: %w", err)
		}
		contents[name] = value
	}
	for _, name := range machineWide() {
		path := filepath.Join(proc, name)
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err := bind(path, path, unix.MS_RDONLY|noExec); err != nil {
			return err
		}
	}
	for name, content := range contents {
		file := filepath.Join(scratch, strings.ReplaceAll(name, "/", "."))
		if err := os.WriteFile(file, content, 0o644); err != nil {
			return fmt.Errorf("write private setting: %w", err)
		}
		if err := bind(file, filepath.Join(proc, name), 0); err != nil {
			return err
		}
	}
	if err := unix.Unmount(scratch, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("drop scratch file system: %w", err)
	}
	return nil
}

// newBootID returns a random (version 4) UUID.
func newBootID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails, see crypto/rand
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	text := hex.EncodeToString(id[:])
	return strings.Join([]string{text[:8], text[8:12], text[12:16], text[16:20], text[20:]}, "-")
}
