package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const gib = 1 << 30

// fake is a disk of a given size.
type fake space

func (f fake) space(string) (space, error) { return space(f), nil }

func TestCreate(t *testing.T) {
	t.Parallel()
	disk := fake{total: 100 * gib, free: 60 * gib} // 10 GiB stay free
	cases := map[string]struct {
		change  func(*volume)
		disk    fake
		wantErr error
	}{
		"fits":                    {func(v *volume) { v.size = 10 * gib }, disk, nil},
		"exactly what is free":    {func(v *volume) { v.size = 50 * gib }, disk, nil},
		"more than is free":       {func(v *volume) { v.size = 50*gib + 1 }, disk, errFull},
		"more than is unpromised": {func(v *volume) { v.size = 90 * gib }, fake{total: 100 * gib, free: 100 * gib}, errFull},
		"block device":            {func(v *volume) { v.mode = "Block" }, disk, errMode},
		"relative path":           {func(v *volume) { v.path = "pvc-1" }, disk, errPath},
		"not a volume's name":     {func(v *volume) { v.path = filepath.Join(filepath.Dir(v.path), "etc") }, disk, errPath},
		"below the root":          {func(v *volume) { v.path = "/pvc-1" }, disk, errPath},
		"leaves the directory":    {func(v *volume) { v.path += "/../pvc-2/" }, disk, errPath},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			parent := t.TempDir()
			// One volume of 20 GiB is there.
			other := volume{path: filepath.Join(parent, "pvc-0_ns_claim"), size: 20 * gib, mode: "Filesystem"}
			if err := other.create(disk); err != nil {
				t.Fatal(err)
			}
			v := volume{path: filepath.Join(parent, "pvc-1_ns_claim"), mode: "Filesystem"}
			test.change(&v)
			if err := v.create(test.disk); !errors.Is(err, test.wantErr) {
				t.Fatalf("error %v, want %v", err, test.wantErr)
			}
			info, err := os.Stat(filepath.Join(parent, "pvc-1_ns_claim"))
			if made := err == nil; made != (test.wantErr == nil) {
				t.Errorf("directory made: %t", made)
			} else if made && info.Mode().Perm() != 0o777 {
				t.Errorf("mode %s", info.Mode())
			}
		})
	}
}

func TestCreateTwiceCountsOnce(t *testing.T) {
	t.Parallel()
	v := volume{path: filepath.Join(t.TempDir(), "pvc-1"), size: 60 * gib, mode: "Filesystem"}
	for range 2 {
		if err := v.create(fake{total: 100 * gib, free: 100 * gib}); err != nil {
			t.Fatal(err)
		}
	}
	value := make([]byte, 32)
	if n, err := unix.Getxattr(v.path, sizeAttribute, value); err == nil && string(value[:n]) != "64424509440" {
		t.Errorf("noted size %s", value[:n])
	}
}

func TestRemove(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	kept := filepath.Join(parent, "kept")
	v := volume{path: filepath.Join(parent, "pvc-1")}
	for _, err := range []error{
		os.MkdirAll(filepath.Join(v.path, "a/b"), 0o700),
		os.WriteFile(kept, []byte("x"), 0o600),
		os.Symlink(parent, filepath.Join(v.path, "a/out")),
		os.Symlink(kept, filepath.Join(v.path, "file")),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // the second finds nothing to do
		if err := v.remove(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Lstat(v.path); !errors.Is(err, os.ErrNotExist) {
		t.Error("the volume is still there")
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error("a link led out of the volume:", err)
	}
	// A volume replaced by a link to elsewhere loses the link only.
	if err := os.Symlink(filepath.Dir(kept), v.path); err != nil {
		t.Fatal(err)
	}
	if err := v.remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(kept); err != nil {
		t.Error("the volume was a link and its target was removed:", err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pvc-1")
	cases := []struct{ args, want string }{
		{"-p " + path + " -s 1048576 -m Filesystem -a create", ""},
		{"-p " + path + " -s 1048576 -m Filesystem -a delete", ""},
		{"-p " + path + " -s 1152921504606846976 -m Filesystem -a create", "not enough room on this node"},
		{"-p " + path + " -a grow", "unknown action"},
		{"-q", "flag provided but not defined"},
	}
	for _, test := range cases {
		if err := run(strings.Fields(test.args), fake{total: 1 << 40, free: 1 << 40}); (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.args, err, test.want)
		}
	}
}
