package host

import (
	"bufio"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Kernel is the running kernel.
type Kernel struct {
	Release string `json:"release"`
	Major   int    `json:"major"`
	Minor   int    `json:"minor"`
}

// AtLeast reports whether the kernel is major.minor or newer.
func (k Kernel) AtLeast(major, minor int) bool {
	return k.Major > major || k.Major == major && k.Minor >= minor
}

// ParseKernel reads a release as uname -r prints it, such as "6.1.0-42-amd64".
func ParseKernel(release string) (Kernel, error) {
	k := Kernel{Release: release}
	if _, err := fmt.Sscanf(release, "%d.%d", &k.Major, &k.Minor); err != nil {
		return Kernel{Release: release}, fmt.Errorf("read kernel release %q: %w", release, err)
	}
	return k, nil
}

func readKernel(root string) (Kernel, error) {
	data, err := os.ReadFile(filepath.Join(root, "proc/sys/kernel/osrelease"))
	if err != nil {
		return Kernel{}, err
	}
	return ParseKernel(strings.TrimSpace(string(data)))
}

// kernelConfig is the build configuration of the kernel: option to y, m or a value. It is empty
// when the machine does not publish it; its absence says nothing about the kernel.
type kernelConfig map[string]string

func readKernelConfig(root, release string) (kernelConfig, error) {
	file, err := os.Open(filepath.Join(root, "proc/config.gz"))
	if err == nil {
		defer file.Close()
		unzipped, err := gzip.NewReader(file)
		if err != nil {
			return nil, fmt.Errorf("read /proc/config.gz: %w", err)
		}
		return parseKernelConfig(unzipped)
	}
	boot, err := os.Open(filepath.Join(root, "boot", "config-"+release))
	if err != nil {
		return kernelConfig{}, nil
	}
	defer boot.Close()
	return parseKernelConfig(boot)
}

func parseKernelConfig(r io.Reader) (kernelConfig, error) {
	config := kernelConfig{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, found := strings.Cut(lines.Text(), "=")
		if found && strings.HasPrefix(name, "CONFIG_") {
			config[name] = strings.Trim(value, `"`)
		}
	}
	return config, lines.Err()
}

// has answers from the configuration alone: no when it is published and lacks the option.
func (c kernelConfig) has(option string) Support {
	if len(c) == 0 {
		return Unknown
	}
	switch c[option] {
	case "y", "m":
		return Yes
	default:
		return No
	}
}
