package lab_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/lab"
)

func TestMain(m *testing.M) {
	lab.MaybeInit()
	maybeBecomeTool()
	os.Exit(m.Run())
}

// newLayout is a world of the test's own. Whatever the test leaves in it is removed, and missed if it cannot be.
func newLayout(t *testing.T) lab.Layout {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("labs need root: namespaces, mounts and control groups cannot be made without")
	}
	id := fmt.Sprintf("islet-test-%d-%d", os.Getpid(), time.Now().UnixNano()%1_000_000_000)
	layout := lab.Layout{StateDir: filepath.Join("/var/tmp", id), RunDir: filepath.Join("/run", id), Cgroup: id}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := layout.DownAll(ctx); err != nil {
			t.Errorf("clean up: %v", err)
		}
		if err := os.Remove(layout.StateDir); err != nil && !os.IsNotExist(err) {
			t.Errorf("left behind: %v", err)
		}
	})
	return layout
}

// up brings up a lab with a short name and hosts node1 to nodeN.
func up(t *testing.T, layout lab.Layout, spec lab.Spec, hosts int) *lab.Lab {
	t.Helper()
	spec.Name = "t"
	for range hosts - len(spec.Hosts) {
		spec.Hosts = append(spec.Hosts, lab.HostSpec{})
	}
	l, err := layout.Up(t.Context(), spec, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func host(t *testing.T, l *lab.Lab, name string) *lab.Host {
	t.Helper()
	h, err := l.Host(name)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// output runs a shell line in the host and fails the test unless it succeeds.
func output(t *testing.T, h *lab.Host, line string) string {
	t.Helper()
	out, err := h.Output(t.Context(), "sh", "-c", line)
	if err != nil {
		t.Fatalf("%s: %v (output %q)", line, err, out)
	}
	return out
}

// eventually waits until check succeeds, for what has no event to wait for.
func eventually(t *testing.T, check func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestUpRefusesInvalidSpecs(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		spec lab.Spec
		want string
	}{
		{"no name", lab.Spec{}, `lab name ""`},
		{"long name", lab.Spec{Name: "abcdefghijklmnopqrstu"}, "lab name"},
		{"path as name", lab.Spec{Name: "../x"}, "lab name"},
		{"host twice", lab.Spec{Name: "a", Hosts: []lab.HostSpec{{Name: "x"}, {Name: "x"}}}, `"x" is used twice`},
		{"host named like the bridge", lab.Spec{Name: "a", Hosts: []lab.HostSpec{{Name: "br0"}}}, `host name "br0"`},
		{"long host name", lab.Spec{Name: "a", Hosts: []lab.HostSpec{{Name: "abcdefghijklmnop"}}}, "host name"},
		{"narrow subnet", lab.Spec{Name: "a", Subnet: netip.MustParsePrefix("10.0.0.0/25")}, "subnet 10.0.0.0/25"},
		{"IPv6 subnet", lab.Spec{Name: "a", Subnet: netip.MustParsePrefix("fd00::/64")}, "subnet fd00::/64"},
		{"tiny MTU", lab.Spec{Name: "a", MTU: 500}, "mtu 500"},
		{"file on a tmpfs", lab.Spec{Name: "a", Hosts: []lab.HostSpec{{Files: map[string]lab.File{"/run/x": {}}}}}, "not on a host's disk"},
		{"relative file", lab.Spec{Name: "a", Hosts: []lab.HostSpec{{Files: map[string]lab.File{"etc/x": {}}}}}, "absolute path"},
		{"shared file with dots", lab.Spec{Name: "a", Shared: map[string]string{"/etc/../x": "/y"}}, "absolute path"},
		{"hidden root", lab.Spec{Name: "a", Hide: []string{"/"}}, "hidden path"},
		{"too many hosts", lab.Spec{Name: "a", Hosts: make([]lab.HostSpec, 201)}, "201 hosts"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			layout := lab.Layout{StateDir: t.TempDir(), RunDir: t.TempDir(), Cgroup: "islet-test-none"}
			_, err := layout.Up(t.Context(), test.spec, testLog(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestSecondUpOfTheSameNameIsRefused(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	l := up(t, layout, lab.Spec{}, 1)
	if _, err := layout.Up(t.Context(), lab.Spec{Name: "t"}, testLog(t)); !errors.Is(err, lab.ErrExists) {
		t.Errorf("got error %v, want ErrExists", err)
	}
	if !host(t, l, "node1").Running() {
		t.Error("the refused Up took the lab down")
	}
}

func TestFailedUpLeavesNothing(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	spec := lab.Spec{Name: "t", Executable: "/nonexistent"}
	if _, err := layout.Up(t.Context(), spec, testLog(t)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got error %v, want ErrNotExist", err)
	}
	if entries, _ := os.ReadDir(layout.StateDir); len(entries) != 0 {
		t.Errorf("left in the state directory: %v", entries)
	}
	spec.Executable, spec.Keep = "/nonexistent", true
	if _, err := layout.Up(t.Context(), spec, testLog(t)); err == nil {
		t.Fatal("the second Up succeeded")
	}
	if _, err := layout.Open("t"); err != nil {
		t.Errorf("a failed lab that was to be kept is gone: %v", err)
	}
}

func TestOpenFindsLabsElsewhere(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	up(t, layout, lab.Spec{}, 1)
	other := layout
	other.StateDir = t.TempDir()
	l, err := other.Open("t")
	if err != nil {
		t.Fatal(err)
	}
	if out := output(t, host(t, l, "node1"), "hostname"); out != "node1" {
		t.Errorf("hostname says %q", out)
	}
	if _, err := l.Host("node2"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
	if _, err := other.Open("u"); !errors.Is(err, lab.ErrNotFound) {
		t.Errorf("got error %v, want ErrNotFound", err)
	}
}

func TestHostStartsInHalfASecond(t *testing.T) {
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	best := time.Hour
	for range 5 { // the machine may be busy with other things at any one of them
		if err := h.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if err := h.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(begin))
	}
	t.Logf("best of five: %v", best)
	if best > 500*time.Millisecond {
		t.Errorf("best of five starts took %v, want at most 500ms", best)
	}
}

func TestModesDoNotDependOnTheUmask(t *testing.T) {
	t.Parallel()
	layout := newLayout(t)
	command := exec.CommandContext(t.Context(), "/proc/self/exe", layout.StateDir, layout.RunDir, layout.Cgroup)
	command.Env = append(os.Environ(), toolVariable+"=umask")
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// upWithUmask is the tool that the test starts. Its arguments are those of a layout.
func upWithUmask(args []string) error {
	unix.Umask(0o077)
	layout := lab.Layout{StateDir: args[0], RunDir: args[1], Cgroup: args[2]}
	spec := lab.Spec{Name: "t", Shared: map[string]string{"/usr/share/islet/shared": "/etc/passwd"},
		Hosts: []lab.HostSpec{{Files: map[string]lab.File{"/etc/new/file": {}}}}}
	l, err := layout.Up(context.Background(), spec, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	const paths = "/ /etc /etc/new /etc/new/file /usr/local/bin /usr/local/bin/appliance /usr/share/islet/shared /var/lib /dev/net /run /run/lock /sys/fs/cgroup"
	out, err := l.Hosts()[0].Output(context.Background(), "sh", "-c", "echo $(stat -c %a "+paths+"); umask")
	if want := "755 755 755 644 755 755 644 755 755 755 755 755\n0022"; err != nil || out != want {
		return fmt.Errorf("modes %q, %w, want %q", out, err, want)
	}
	return nil
}
