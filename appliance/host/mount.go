package host

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Mount is one line of /proc/self/mounts.
type Mount struct {
	Source  string
	Point   string
	Type    string
	Options []string
}

// Has reports whether the mount has this option, such as noexec.
func (m Mount) Has(option string) bool { return slices.Contains(m.Options, option) }

// Mounts lists the mounts this process sees, in mount order. root is "/" but in tests.
func Mounts(root string) ([]Mount, error) {
	file, err := os.Open(filepath.Join(root, "proc/self/mounts"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return parseMounts(file)
}

// mountEscapes are the octal escapes that the kernel writes in paths (mangle in fs/proc_namespace.c).
var mountEscapes = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)

func parseMounts(r io.Reader) ([]Mount, error) {
	var mounts []Mount
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 {
			return nil, fmt.Errorf("read mounts: line %d has %d fields, want at least 4", len(mounts)+1, len(fields))
		}
		mounts = append(mounts, Mount{
			Source:  mountEscapes.Replace(fields[0]),
			Point:   mountEscapes.Replace(fields[1]),
			Type:    fields[2],
			Options: strings.Split(fields[3], ","),
		})
	}
	return mounts, lines.Err()
}

// MountOf returns the mount that holds path: the longest mount point above it, and of equal ones
// the last, which covers the others. path need not exist.
func MountOf(mounts []Mount, path string) (Mount, bool) {
	path = filepath.Clean(path)
	var best Mount
	found := false
	for _, m := range mounts {
		if !under(path, m.Point) || found && len(m.Point) < len(best.Point) {
			continue
		}
		best, found = m, true
	}
	return best, found
}

func under(path, dir string) bool {
	return dir == "/" || path == dir || strings.HasPrefix(path, dir+"/")
}

// Existing returns path, or its nearest parent that exists: where a check can be made before the
// directory itself is created.
func Existing(path string) string {
	for path = filepath.Clean(path); ; path = filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
	}
}
