package images

import (
	"context"
	"fmt"
	"io"
	"os"
	"regexp"

	"islet/images/debian"
	"islet/images/oci"
)

// packageLine is how the lock file writes a Debian package; the rest of the file, comments too, stays as it is.
var packageLine = regexp.MustCompile(`(?m)^( *- )\{name: ([a-z0-9.+-]+), version: .*, arch: .*\}$`)

// UpdateLock pins the versions of the lock file's Debian packages that the machine's package sources offer now, and
// says on stdout what has changed. Go modules are updated in their go.mod.
func UpdateLock(ctx context.Context, path string, stdout io.Writer) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	old, err := DecodeLock(content)
	if err != nil {
		return err
	}
	var failed error
	updated := packageLine.ReplaceAllStringFunc(string(content), func(line string) string {
		match := packageLine.FindStringSubmatch(line)
		p, err := debian.Candidate(ctx, match[2])
		if err != nil {
			failed = err
			return line
		}
		if was, err := old.Package(p.Name); err == nil && was != p {
			fmt.Fprintf(stdout, "%s: %s -> %s\n", p.Name, was.Version, p.Version)
		}
		return match[1] + lockLine(p)
	})
	if failed != nil {
		return failed
	}
	if updated == string(content) {
		fmt.Fprintln(stdout, "all Debian packages are pinned to what is offered now")
		return nil
	}
	if _, err := DecodeLock([]byte(updated)); err != nil {
		return fmt.Errorf("after the update: %w", err)
	}
	return oci.WriteFile(path, []byte(updated), 0o644)
}

func lockLine(p debian.Package) string {
	return fmt.Sprintf("{name: %s, version: %q, arch: %s, sha256: %s}", p.Name, p.Version, p.Arch, p.SHA256)
}
