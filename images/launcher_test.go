package images

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"islet/bundle"
	"islet/images/program"
)

// toolsRoot returns a directory with the files of the hosttools engine, an empty /proc and nothing else, and with the launcher
// of the sources as they are now.
func toolsRoot(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root for chroot")
	}
	out := t.TempDir()
	args := []string{"engines", "--only", "hosttools", "--root", "..", "--out", filepath.Join(out, "layout")}
	if layout := "../build/layout"; hasEngine(layout, "hosttools") {
		args = nil
		out = filepath.Dir(layout)
	}
	if args != nil {
		if err := Run(t.Context(), args, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	stage(t, filepath.Join(out, "layout"), "hosttools", root)
	launcher := program.C{Source: "cmd/engine/launcher/launcher.c"}
	if err := launcher.Build(t.Context(), "..", filepath.Join(root, "hosttools/launcher")); err != nil {
		t.Fatal(err)
	}
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("proc", proc, "proc", 0, ""); err != nil {
		t.Skipf("needs to mount /proc: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(proc, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

func hasEngine(layoutDir, name string) bool {
	_, err := engineManifest(layoutDir, name)
	return err == nil
}

func engineManifest(layoutDir, name string) (v1.Manifest, error) {
	var index v1.Index
	var manifest v1.Manifest
	if err := decodeFile(filepath.Join(layoutDir, v1.ImageIndexFile), &index); err != nil {
		return manifest, err
	}
	for _, entry := range index.Manifests {
		note := entry.Annotations
		if note[bundle.AnnotationComponentKind] == string(bundle.KindEngine) && note[bundle.AnnotationComponentName] == name {
			return manifest, decodeFile(filepath.Join(layoutDir, "blobs/sha256", entry.Digest.Encoded()), &manifest)
		}
	}
	return manifest, os.ErrNotExist
}

// stage writes the engine's files and links under root, as the node daemon does.
func stage(t *testing.T, layoutDir, name, root string) {
	t.Helper()
	manifest, err := engineManifest(layoutDir, name)
	if err != nil {
		t.Fatal(err)
	}
	for _, layer := range manifest.Layers {
		blob, err := os.Open(filepath.Join(layoutDir, "blobs/sha256", layer.Digest.Encoded()))
		if err != nil {
			t.Fatal(err)
		}
		decoder, err := zstd.NewReader(blob)
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(decoder)
		decoder.Close()
		if err := errors.Join(err, blob.Close()); err != nil {
			t.Fatal(err)
		}
		title := layer.Annotations[bundle.AnnotationTitle]
		put(t, root, title, string(content))
		if err := os.Chmod(filepath.Join(root, title), 0o755); err != nil {
			t.Fatal(err)
		}
		if links := layer.Annotations[bundle.AnnotationFileLinks]; links != "" {
			for link := range strings.SplitSeq(links, ",") {
				symlink(t, root, link, title)
			}
		}
	}
}

func symlink(t *testing.T, root, link, title string) {
	t.Helper()
	target, err := filepath.Rel(filepath.Dir(link), title)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(filepath.Join(root, link)), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(root, link)); err != nil {
		t.Fatal(err)
	}
}

// TestForeignProgramsInAnEmptyRoot runs what the hosttools engine carries where there is nothing else: no libraries, no
// loader, no configuration. It works in network and mount namespaces of its own.
func TestForeignProgramsInAnEmptyRoot(t *testing.T) {
	t.Parallel()
	root := toolsRoot(t)
	runtime.LockOSThread() // never unlocked: the thread ends with the test, and its namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET | unix.CLONE_NEWNS); err != nil {
		t.Skipf("needs namespaces: %v", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"mnt", "again"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	steps := []struct {
		name, stdin string
		args        []string
		want        string
		fails       bool
	}{
		{"nft version", "", []string{"/bin/nft", "--version"}, "nftables v", false},
		{"nft rules", "table inet t { chain c { type filter hook input priority 0; tcp dport { 22, 80 } accept\n}\n}\n", []string{"/bin/nft", "-f", "-"}, "", false},
		{"nft list", "", []string{"/bin/nft", "list", "ruleset"}, "tcp dport { 22, 80 } accept", false},
		{"nft json", "", []string{"/bin/nft", "-j", "list", "tables"}, `"name": "t"`, false},
		{"nft errors", "", []string{"/bin/nft", "list", "table", "none"}, "No such file or directory", true},
		{"ipset", "", []string{"/bin/ipset", "create", "s", "hash:ip"}, "", false},
		{"ipset list", "", []string{"/bin/ipset", "list", "-n"}, "s", false},
		{"iptables version", "", []string{"/bin/iptables", "--version"}, "(nf_tables)", false},
		{"iptables extension help", "", []string{"/bin/iptables", "-m", "set", "--help"}, "set match options", false},
		{"iptables rules", "*filter\n:P - [0:0]\n-A P -m comment --comment \"a policy\" -m set --match-set s src -m conntrack --ctstate NEW -p tcp -m tcp --dport 80 -j RETURN\n-A P -m limit --limit 10/minute -j REJECT\n-A P -j MARK --set-xmark 0x1/0x1\nCOMMIT\n", []string{"/bin/iptables-restore"}, "", false},
		{"iptables list", "", []string{"/bin/iptables-save"}, "--comment \"a policy\"", false},
		{"ip6tables", "", []string{"/bin/ip6tables", "-A", "INPUT", "-p", "ipv6-icmp", "-j", "ACCEPT"}, "", false},
		{"conntrack", "", []string{"/bin/conntrack", "--version"}, "conntrack v", false},
		{"mount", "", []string{"/bin/mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "tmpfs", "/mnt"}, "", false},
		{"bind", "", []string{"/bin/mount", "-o", "bind", "/mnt", "/again"}, "", false},
		{"read only", "", []string{"/bin/mount", "-o", "bind,remount,ro", "/again"}, "", false},
		{"mounts", "", []string{"/bin/mount"}, "tmpfs on /again type tmpfs (ro,", false},
		{"umount", "", []string{"/bin/umount", "/again", "/mnt"}, "", false},
		{"umount errors", "", []string{"/bin/umount", "/mnt"}, "not mounted", true},
		{"unknown program", "", []string{"/bin/none"}, "/libexec/none", true},
	}
	symlink(t, root, "bin/none", "hosttools/launcher")
	for _, step := range steps {
		cmd := exec.CommandContext(t.Context(), step.args[0], step.args[1:]...)
		cmd.Path, cmd.Err = step.args[0], nil // found in the new root, not in this one
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
		cmd.Dir = "/"
		cmd.Env = []string{"LD_PRELOAD=/host.so", "LD_LIBRARY_PATH=/host", "PATH=/none", "XTABLES_LIBDIR=/none"}
		cmd.Stdin = strings.NewReader(step.stdin)
		said, err := cmd.CombinedOutput()
		if !strings.Contains(string(said), step.want) || (err != nil) != step.fails {
			t.Errorf("%s: said %q, error %v; want %q", step.name, said, err, step.want)
		}
		if strings.Contains(string(said), "host.so") {
			t.Errorf("%s: the host's LD_PRELOAD came through: %s", step.name, said)
		}
	}
}

// TestLauncherKeepsTheEnvironment checks that only what would lead to the host's libraries is taken out.
func TestLauncherKeepsTheEnvironment(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	launcher := program.C{Source: "cmd/engine/launcher/launcher.c"}
	put(t, root, "lib/ld-linux-x86-64.so.2", "#!/bin/sh\necho \"$@\"\nexec env\n")
	if err := os.Chmod(filepath.Join(root, "lib/ld-linux-x86-64.so.2"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := launcher.Build(t.Context(), "..", filepath.Join(root, "launcher")); err != nil {
		t.Fatal(err)
	}
	symlink(t, root, "bin/tool", "launcher")
	for name, env := range map[string][]string{
		"nothing to drop": {"PATH=/usr/bin:/bin", "KEPT=1"},
		"empty":           {},
		"all dropped":     {"LD_AUDIT=x"},
		"mixed":           {"LD_PRELOAD=x", "KEPT=1", "XTABLES_LIBDIR=/host", "LD_LIBRARY_PATH=x", "PATH=/usr/bin:/bin"},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(root, "bin/tool"), "a b", "", "c")
		cmd.Env = env
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		said := string(out)
		want := "--inhibit-cache --library-path " + root + "/lib --argv0 tool " + root + "/libexec/tool a b  c\n"
		if !strings.HasPrefix(said, want) || !strings.Contains(said, "XTABLES_LIBDIR="+root+"/xtables\n") {
			t.Errorf("%s: said %q, want %q and our extensions", name, said, want)
		}
		if strings.Contains(said, "LD_") || strings.Contains(said, "/host") {
			t.Errorf("%s: settings of the host came through: %q", name, said)
		}
		for _, entry := range env {
			if strings.HasPrefix(entry, "KEPT") && !strings.Contains(said, entry+"\n") {
				t.Errorf("%s: %s was dropped", name, entry)
			}
		}
	}
}
