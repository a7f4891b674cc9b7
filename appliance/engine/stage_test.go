package engine

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"islet/appliance/layout"
	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

var kubelet = bytes.Repeat([]byte("kubelet 1 "), 3000)

// engines is a bundle with two engines; kube is the content of one of their files.
func engines(t *testing.T, kube []byte) *bundle.Reader {
	t.Helper()
	l := bundletest.NewLayout(t)
	l.Engine("kube", "v1.36.3",
		bundletest.File{Path: "bin/kube", Mode: 0o755, Content: kube, Links: []string{"bin/kubelet", "sbin/kube-proxy"}},
		bundletest.File{Path: "share/notes", Mode: 0o444, Content: []byte("notes")})
	l.Engine("runc", "1.5.2", bundletest.File{Path: "bin/runc", Mode: 0o755, Content: []byte("runc")})
	return read(t, l)
}

func read(t *testing.T, l *bundletest.Layout) *bundle.Reader {
	t.Helper()
	key, private := bundletest.Key("engine test", trust.Release)
	options := bundletest.Options(l)
	options.Signers = []ed25519.PrivateKey{private}
	return bundletest.Open(t, bundletest.Bytes(t, options), key)
}

func node(t *testing.T) layout.Layout {
	t.Helper()
	return layout.Layout{StateDir: t.TempDir()}
}

func stage(t *testing.T, l layout.Layout, b *bundle.Reader) Result {
	t.Helper()
	r, err := Stage(t.Context(), l, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// verify checks that everything is in place and in use, with nothing else beside it.
func verify(t *testing.T, l layout.Layout, kube []byte) {
	t.Helper()
	for path, want := range map[string]struct {
		content []byte
		mode    fs.FileMode
	}{
		"bin/kube": {kube, 0o755}, "bin/kubelet": {kube, 0o755}, "sbin/kube-proxy": {kube, 0o755},
		"bin/runc": {[]byte("runc"), 0o755}, "share/notes": {[]byte("notes"), 0o444},
	} {
		at := filepath.Join(l.Engines(), "current", path)
		data, err := os.ReadFile(at)
		if err != nil || !bytes.Equal(data, want.content) {
			t.Errorf("%s: %.20q (%v), want %.20q", path, data, err, want.content)
			continue
		}
		if info, err := os.Stat(at); err != nil || info.Mode() != want.mode {
			t.Errorf("%s: mode %v (%v), want %v", path, info.Mode(), err, want.mode)
		}
	}
	for link, want := range map[string]string{"bin/kubelet": "kube", "sbin/kube-proxy": "../bin/kube"} {
		if target, err := os.Readlink(filepath.Join(l.Engines(), "current", link)); err != nil || target != want {
			t.Errorf("%s links to %q (%v), want %q: the set could not be moved", link, target, err, want)
		}
	}
	if rest, err := filepath.Glob(filepath.Join(l.Engines(), "sets", "*.*")); err != nil || len(rest) > 0 {
		t.Errorf("left behind: %v (%v)", rest, err)
	}
}

// stamps is the inode and the times of every file below the engines.
func stamps(t *testing.T, l layout.Layout) map[string][3]int64 {
	t.Helper()
	out := map[string][3]int64{}
	err := filepath.WalkDir(l.Engines(), func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		s := info.Sys().(*syscall.Stat_t)
		out[path] = [3]int64{int64(s.Ino), s.Mtim.Nano(), s.Ctim.Nano()}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFirstStageThenNothing(t *testing.T) {
	t.Parallel()
	l, b := node(t), engines(t, kubelet)
	first := stage(t, l, b)
	if want := (Result{Dir: first.Dir, Files: 3, Staged: 3, Bytes: int64(len(kubelet) + len("notes") + len("runc"))}); first != want {
		t.Errorf("%+v, want %+v", first, want)
	}
	verify(t, l, kubelet)
	before := stamps(t, l)
	if again := stage(t, l, b); again != (Result{Dir: first.Dir, Files: 3}) {
		t.Errorf("the second time %+v", again)
	}
	for path, stamp := range stamps(t, l) {
		if before[path] != stamp {
			t.Errorf("%s was touched", path)
		}
	}
}

func TestChangeWritesOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	l := node(t)
	stage(t, l, engines(t, kubelet))
	before := stamps(t, l)
	newer := []byte("kubelet 2")
	r := stage(t, l, engines(t, newer))
	if r.Bytes != int64(len(newer)) || r.Staged != 3 {
		t.Errorf("%+v, want %d bytes", r, len(newer))
	}
	verify(t, l, newer)
	old, err := filepath.Glob(filepath.Join(l.Engines(), "sets", "*"))
	if err != nil || len(old) != 2 {
		t.Fatalf("sets %v (%v), want this one and the one before", old, err)
	}
	after := stamps(t, l)
	for _, name := range []string{"bin/runc", "share/notes"} {
		for _, dir := range old {
			if dir != r.Dir && after[filepath.Join(r.Dir, name)][0] != before[filepath.Join(dir, name)][0] {
				t.Errorf("%s was written again", name)
			}
		}
	}
	// The way back costs nothing.
	if back := stage(t, l, engines(t, kubelet)); back.Bytes != 0 || back.Staged != 0 {
		t.Errorf("the way back: %+v", back)
	}
	verify(t, l, kubelet)
}

func TestOnlyOneOldSetIsKept(t *testing.T) {
	t.Parallel()
	l := node(t)
	var dirs []string
	for i, content := range []string{"one", "two", "three", "four"} {
		r := stage(t, l, engines(t, []byte(content)))
		dirs = append(dirs, r.Dir)
		at := time.Now().Add(time.Duration(i-10) * time.Hour) // staged hours apart
		if err := os.Chtimes(filepath.Join(r.Dir, manifestName), at, at); err != nil {
			t.Fatal(err)
		}
	}
	left, err := filepath.Glob(filepath.Join(l.Engines(), "sets", "*"))
	want := dirs[2:]
	slices.Sort(want)
	if err != nil || !slices.Equal(left, want) {
		t.Errorf("sets %v (%v), want %v", left, err, want)
	}
}

// Each case is what a power cut, a failing disk or a hand left. The next start must mend it.
func TestMends(t *testing.T) {
	t.Parallel()
	truncate := func(name string) func(t *testing.T, l layout.Layout, dir string) {
		return func(t *testing.T, _ layout.Layout, dir string) {
			t.Helper()
			if err := os.Truncate(filepath.Join(dir, name), 2); err != nil {
				t.Fatal(err)
			}
		}
	}
	remove := func(name string) func(t *testing.T, l layout.Layout, dir string) {
		return func(t *testing.T, _ layout.Layout, dir string) {
			t.Helper()
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	cases := []struct {
		name   string
		damage func(t *testing.T, l layout.Layout, dir string)
		bytes  int // written by the mending; the rest is linked
	}{
		{"file cut short", truncate("bin/kube"), len(kubelet)},
		{"file gone", remove("bin/runc"), len("runc")},
		{"file not executable", func(t *testing.T, _ layout.Layout, dir string) {
			if err := os.Chmod(filepath.Join(dir, "bin/runc"), 0o644); err != nil {
				t.Fatal(err)
			}
		}, len("runc")},
		{"link gone", remove("sbin/kube-proxy"), 0},
		{"link elsewhere", func(t *testing.T, _ layout.Layout, dir string) {
			remove("bin/kubelet")(t, layout.Layout{}, dir)
			if err := os.Symlink("runc", filepath.Join(dir, "bin/kubelet")); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"manifest gone", remove(manifestName), len(kubelet) + len("notes") + len("runc")},
		{"manifest cut short", truncate(manifestName), len(kubelet) + len("notes") + len("runc")},
		{"set gone", remove(""), len(kubelet) + len("notes") + len("runc")},
		{"current gone", func(t *testing.T, l layout.Layout, _ string) { remove("current")(t, l, l.Engines()) }, 0},
		{"current elsewhere", func(t *testing.T, l layout.Layout, _ string) {
			remove("current")(t, l, l.Engines())
			if err := os.Symlink("sets/no-such-set", filepath.Join(l.Engines(), "current")); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"power cut before the link moved", func(t *testing.T, l layout.Layout, _ string) {
			if err := os.Rename(filepath.Join(l.Engines(), "current"), filepath.Join(l.Engines(), "current.new")); err != nil {
				t.Fatal(err)
			}
		}, 0},
		{"power cut while staging", func(t *testing.T, _ layout.Layout, dir string) {
			if err := os.Rename(dir, dir+".staging"); err != nil {
				t.Fatal(err)
			}
		}, len(kubelet) + len("notes") + len("runc")},
		{"power cut while a damaged set was replaced", func(t *testing.T, _ layout.Layout, dir string) {
			if err := os.Rename(dir, dir+".damaged"); err != nil {
				t.Fatal(err)
			}
		}, len(kubelet) + len("notes") + len("runc")},
		{"leftovers beside a whole set, after which only the link is missing", func(t *testing.T, l layout.Layout, dir string) {
			remove("current")(t, l, l.Engines())
			for _, suffix := range []string{".staging", ".damaged"} {
				if err := os.MkdirAll(filepath.Join(dir+suffix, "bin"), 0o755); err != nil {
					t.Fatal(err)
				}
			}
		}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l, b := node(t), engines(t, kubelet)
			c.damage(t, l, stage(t, l, b).Dir)
			if r := stage(t, l, b); r.Bytes != int64(c.bytes) {
				t.Errorf("%+v, want %d bytes", r, c.bytes)
			}
			verify(t, l, kubelet)
			if r := stage(t, l, b); r.Staged != 0 {
				t.Errorf("staged once more: %+v", r)
			}
		})
	}
}

// A file that is damaged is not carried over into the next set.
func TestDamageIsNotInherited(t *testing.T) {
	t.Parallel()
	l := node(t)
	dir := stage(t, l, engines(t, kubelet)).Dir
	if err := os.Truncate(filepath.Join(dir, "bin/runc"), 1); err != nil {
		t.Fatal(err)
	}
	newer := []byte("kubelet 2")
	stage(t, l, engines(t, newer))
	verify(t, l, newer)
}

func TestCancelledStageLeavesTheOldSetInUse(t *testing.T) {
	t.Parallel()
	l := node(t)
	stage(t, l, engines(t, kubelet))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Stage(ctx, l, engines(t, []byte("kubelet 2"))); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if data, err := os.ReadFile(filepath.Join(l.Bin(), "kube")); err != nil || !bytes.Equal(data, kubelet) {
		t.Errorf("the set before is not in use any more (%v)", err)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	empty := bundletest.NewLayout(t)
	empty.Manifests("coredns", "1", []byte("kind: Namespace"))
	if _, err := Stage(t.Context(), node(t), read(t, empty)); err == nil || !strings.Contains(err.Error(), "carries no engines") {
		t.Errorf("a bundle without engines: %v", err)
	}
	twice := bundletest.NewLayout(t)
	for _, name := range []string{"a", "b"} {
		twice.Engine(name, "1", bundletest.File{Path: "bin/x", Mode: 0o755, Content: []byte(name)})
	}
	if _, err := Stage(t.Context(), node(t), read(t, twice)); !errors.Is(err, fs.ErrExist) {
		t.Errorf("two engines with one path: %v", err)
	}
	l := node(t)
	if err := os.WriteFile(l.Engines(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Stage(t.Context(), l, engines(t, kubelet)); err == nil || !strings.HasPrefix(err.Error(), "stage engines: ") {
		t.Errorf("a file in the way: %v", err)
	}
}
