package images

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

const usage = `build makes everything that a bundle carries, into an OCI image layout.

Usage:
  go run ./images/cmd/build [engines|images|manifests|all] [flags]

Versions and checksums come from images/lock.yaml. What has not changed is not built again. It needs Go, gcc,
libseccomp-dev and, for Debian packages, an "apt-get update" that has been run.

Example:
  go run ./images/cmd/build all --out build/layout
  go run ./images/cmd/build images --only coredns
  go run ./images/cmd/build --update-lock

Flags:
`

// options are the command line's.
type options struct {
	what       string // engines, images, manifests or all
	out        string // layout directory
	cache      string // directory for downloads and what was built before
	only       string // name of the one component to build; empty for all
	root       string // the repository's
	updateLock bool
}

func parseArgs(args []string, stderr io.Writer) (options, error) {
	o := options{what: "all"}
	if len(args) > 0 && args[0] != "" && args[0][0] != '-' {
		o.what, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() { fmt.Fprint(stderr, usage); flags.PrintDefaults() }
	flags.StringVar(&o.out, "out", "build/layout", "image layout `directory` to fill")
	flags.StringVar(&o.cache, "cache", "", "`directory` for downloads and intermediate results (default: cache next to --out)")
	flags.StringVar(&o.only, "only", "", "build the one component of this `name`")
	flags.StringVar(&o.root, "root", ".", "the repository's root `directory`")
	flags.BoolVar(&o.updateLock, "update-lock", false, "pin the Debian packages that are offered now, and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see --help", flags.Arg(0))
	}
	if !slices.Contains([]string{"engines", "images", "manifests", "all"}, o.what) {
		return o, fmt.Errorf("unknown target %q; want engines, images, manifests or all", o.what)
	}
	if o.cache == "" {
		o.cache = filepath.Join(filepath.Dir(filepath.Clean(o.out)), "cache")
	}
	return o, nil
}

// lockDir keeps a second build out of dir until release is called; it waits for one that runs.
func lockDir(dir string) (release func(), err error) {
	file, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX); err != nil {
		return nil, errors.Join(fmt.Errorf("wait for another build in %s: %w", dir, err), file.Close())
	}
	return func() { file.Close() }, nil // closing unlocks
}
