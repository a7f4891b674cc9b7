package reset

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const settingsRoot = "/proc/sys"

// settings are the kernel settings that our programs change, as patterns below /proc/sys. The first
// comes first on the way back, too: writing it sets all of the others in net.
func settings() []string {
	return []string{
		"net/ipv4/ip_forward", // the network agent; the kernel then sets the next two
		"net/ipv4/conf/*/forwarding",
		"net/ipv4/conf/all/accept_redirects",
		"vm/overcommit_memory", // these six the kubelet (setupKernelTunables)
		"vm/panic_on_oom",
		"kernel/panic",
		"kernel/panic_on_oops",
		"kernel/keys/root_maxkeys",
		"kernel/keys/root_maxbytes",
	}
}

func observeSettings() (map[string]string, error) {
	values := map[string]string{}
	for _, pattern := range settings() {
		files, err := filepath.Glob(filepath.Join(settingsRoot, pattern))
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if errors.Is(err, fs.ErrNotExist) {
				continue // of a device that went away
			}
			if err != nil {
				return nil, err
			}
			values[strings.TrimPrefix(file, settingsRoot+"/")] = strings.TrimSpace(string(data))
		}
	}
	return values, nil
}

func (b builder) planSettings() {
	if !b.past.known {
		b.keep(settingsRoot, "kernel settings as they are: there is no journal of what they were")
		return
	}
	for _, pattern := range settings() {
		for _, name := range slices.Sorted(maps.Keys(b.past.Settings)) {
			before, now := b.past.Settings[name], b.now.Settings[name]
			matches, _ := filepath.Match(pattern, name) // the patterns are above
			if !matches || now == "" || now == before {
				continue
			}
			b.step(phaseUndo, KindSetting, name, "set from "+now+" back to "+before, func(context.Context) error {
				return writeSetting(filepath.Join(settingsRoot, name), before)
			})
		}
	}
}

func writeSetting(path, value string) error {
	if now, err := os.ReadFile(path); err == nil && strings.TrimSpace(string(now)) == value {
		return nil // writing ip_forward would reset the settings of single devices
	}
	err := os.WriteFile(path, []byte(value), 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its device is gone
	}
	return err
}
