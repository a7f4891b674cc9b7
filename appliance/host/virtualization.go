package host

import (
	"os"
	"path/filepath"
	"strings"
)

// Virtualization is what the machine seems to be, for people to read; nothing is decided on it.
type Virtualization string

// What readVirtualization tells apart.
const (
	Metal     Virtualization = "metal"
	Machine   Virtualization = "virtual machine"
	Container Virtualization = "container"
)

func readVirtualization(root string) Virtualization {
	for _, mark := range []string{".dockerenv", "run/.containerenv", "run/systemd/container"} {
		if _, err := os.Stat(filepath.Join(root, mark)); err == nil {
			return Container
		}
	}
	environ, err := os.ReadFile(filepath.Join(root, "proc/1/environ"))
	if err == nil && strings.Contains("\x00"+string(environ), "\x00container=") {
		return Container
	}
	cpu, err := os.ReadFile(filepath.Join(root, "proc/cpuinfo"))
	if err == nil && strings.Contains(string(cpu), " hypervisor") {
		return Machine
	}
	return Metal
}
