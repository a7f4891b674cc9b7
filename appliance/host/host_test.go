package host

import (
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// tree writes files below a temporary root.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for path, text := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestGatherOnThisMachine(t *testing.T) {
	t.Parallel()
	f, err := Gather(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if f.CPUs < 1 || f.MemoryBytes < 64<<20 || f.MemoryBytes < f.AvailableBytes || f.Kernel.Major < 3 || f.Hostname == "" || f.OpenFiles == 0 {
		t.Errorf("implausible: %+v", f)
	}
	if lo, found := f.Interface("lo"); !found || !lo.Loopback {
		t.Errorf("no loopback interface in %+v", f.Interfaces)
	}
	text, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	var again Facts
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	if again.Capabilities != f.Capabilities || !reflect.DeepEqual(again.Features, f.Features) {
		t.Errorf("JSON loses facts:\n%+v\n%+v", f, again)
	}
}

func TestGatherFiles(t *testing.T) {
	t.Parallel()
	root := tree(t, map[string]string{
		"proc/sys/kernel/osrelease":           "6.1.0-42-amd64\n",
		"proc/meminfo":                        "MemTotal:        2014776 kB\nMemAvailable:    1000000 kB\nSwapTotal:        524284 kB\n",
		"proc/self/mounts":                    "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0\n/dev/sda1 / ext4 rw 0 0\n",
		"proc/self/status":                    "Name:\tx\nCapEff:\t000001fffeffffff\n",
		"sys/fs/cgroup/cgroup.controllers":    "cpuset cpu io memory pids\n",
		"etc/os-release":                      "ID=debian\nPRETTY_NAME=\"Debian GNU/Linux 12\"\n",
		"sys/kernel/security/lsm":             "capability,apparmor\n",
		"proc/cpuinfo":                        "flags\t\t: fpu hypervisor lahf_lm\n",
		"proc/1/environ":                      "PATH=/bin\x00TERM=linux\x00",
		"unrelated/so/that/the/root/is/fully": "",
	})
	f, errs := gatherFiles(root)
	if len(errs) > 0 {
		t.Fatal(errs)
	}
	want := Facts{
		OS: "Debian GNU/Linux 12", Kernel: Kernel{"6.1.0-42-amd64", 6, 1},
		MemoryBytes: 2014776 * 1024, AvailableBytes: 1000000 * 1024, SwapBytes: 524284 * 1024,
		Cgroup:         Cgroup{Mode: CgroupV2, Controllers: []string{"cpu", "cpuset", "io", "memory", "pids"}, Mounts: map[string]string{"unified": "/sys/fs/cgroup"}},
		Capabilities:   0x1fffeffffff,
		Virtualization: Machine, LSM: []string{"capability", "apparmor"},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("got  %+v\nwant %+v", f, want)
	}
	if f.Capabilities.Has(CapSysResource) || !f.Capabilities.Has(CapSysAdmin) {
		t.Errorf("capabilities %x are read wrongly", uint64(f.Capabilities))
	}
}

func TestGatherFilesNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	_, errs := gatherFiles(t.TempDir())
	text := errors.Join(errs...).Error()
	for _, want := range []string{"look at the kernel", "look at memory", "look at mounts", "look at capabilities"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %q", want, text)
		}
	}
}

func TestReadCgroup(t *testing.T) {
	t.Parallel()
	const v1 = "tmpfs /sys/fs/cgroup tmpfs rw 0 0\ncgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\ncgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0\n"
	for _, c := range []struct {
		name, mounts string
		mode         CgroupMode
		missing      []string // of cpu, memory, pids, devices
		readOnly     bool
	}{
		{"none", "proc /proc proc rw 0 0\n", CgroupNone, []string{"cpu", "memory", "pids", "devices"}, false},
		{"v1", v1, CgroupV1, []string{"pids", "devices"}, false},
		{"hybrid", v1 + "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n", CgroupHybrid, []string{"pids", "devices"}, false},
		{"v2", "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n", CgroupV2, nil, false},
		{"v2 read-only", "cgroup2 /sys/fs/cgroup cgroup2 ro 0 0\n", CgroupV2, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			root := tree(t, map[string]string{"sys/fs/cgroup/cgroup.controllers": "cpu memory pids"})
			mounts, err := parseMounts(strings.NewReader(c.mounts))
			if err != nil {
				t.Fatal(err)
			}
			got, err := readCgroup(root, mounts)
			if err != nil {
				t.Fatal(err)
			}
			if missing := got.Missing("cpu", "memory", "pids", "devices"); got.Mode != c.mode || !slices.Equal(missing, c.missing) || got.ReadOnly != c.readOnly {
				t.Errorf("got %+v, missing %v", got, missing)
			}
		})
	}
}

func TestMountOf(t *testing.T) {
	t.Parallel()
	mounts, err := parseMounts(strings.NewReader(`/dev/a / ext4 rw 0 0
/dev/b /var/lib ext4 rw,noexec 0 0
/dev/c /var/lib/app\040liance xfs rw 0 0
tmpfs /mnt tmpfs rw 0 0
/dev/d /mnt ext4 rw 0 0
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"/etc": "/dev/a", "/var/lib": "/dev/b", "/var/libx": "/dev/a", "/var/lib/x/y": "/dev/b",
		"/var/lib/app liance/z": "/dev/c", "/mnt/x": "/dev/d", "/": "/dev/a",
	} {
		if m, found := MountOf(mounts, path); !found || m.Source != want {
			t.Errorf("%s is on %s, want %s", path, m.Source, want)
		}
	}
	if _, err := parseMounts(strings.NewReader("short line\n")); err == nil {
		t.Error("a line of two fields is accepted")
	}
}

func TestParseKernel(t *testing.T) {
	t.Parallel()
	k, err := ParseKernel("5.14.0-503.el9.x86_64")
	if err != nil || k.Major != 5 || k.Minor != 14 {
		t.Errorf("got %+v, %v", k, err)
	}
	for _, c := range []struct {
		major, minor int
		want         bool
	}{{5, 13, true}, {5, 14, true}, {5, 15, false}, {4, 20, true}, {6, 0, false}} {
		if k.AtLeast(c.major, c.minor) != c.want {
			t.Errorf("AtLeast(%d, %d) is not %v", c.major, c.minor, c.want)
		}
	}
	if _, err := ParseKernel("unknown"); err == nil {
		t.Error("a release without numbers is accepted")
	}
}

func TestKernelConfig(t *testing.T) {
	t.Parallel()
	c, err := parseKernelConfig(strings.NewReader("# CONFIG_A is not set\nCONFIG_VXLAN=m\nCONFIG_VETH=y\nCONFIG_HZ=250\n"))
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[string]Support{"CONFIG_VXLAN": Yes, "CONFIG_VETH": Yes, "CONFIG_A": No} {
		if got := c.has(option); got != want {
			t.Errorf("%s is %s, want %s", option, got, want)
		}
	}
	if got := (kernelConfig{}).has("CONFIG_A"); got != Unknown {
		t.Errorf("without a configuration the answer is %s, want unknown", got)
	}
}

// A namespace must not leak: neither to this process nor to what it looks at in /proc/self.
func TestInNewNamespacesLeavesNothing(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("namespaces need root")
	}
	before, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for range 20 {
		err := InNewNamespaces(unix.CLONE_NEWNET|unix.CLONE_NEWNS, func() error {
			inside, err := os.Readlink("/proc/thread-self/ns/net")
			if err != nil || inside == before {
				return errors.Join(err, errors.New("still in the old namespace"))
			}
			if err := unix.Mount("tmpfs", dir, "tmpfs", 0, ""); err != nil {
				return err
			}
			return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "leak0"}})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if after, err := os.Readlink("/proc/self/ns/net"); err != nil || after != before {
		t.Errorf("the process is in %s, was in %s (%v)", after, before, err)
	}
	if _, err := netlink.LinkByName("leak0"); err == nil {
		t.Error("a link leaked")
	}
	mounts, err := Mounts("/")
	if err != nil {
		t.Fatal(err)
	}
	if m, _ := MountOf(mounts, dir); m.Point == dir {
		t.Error("a mount leaked")
	}
}

func TestListenersAndTheirOwner(t *testing.T) {
	t.Parallel()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	listeners, err := Listeners("/")
	if err != nil {
		t.Fatal(err)
	}
	processes, err := Processes("/")
	if err != nil {
		t.Fatal(err)
	}
	for protocol, address := range map[string]string{"tcp": tcp.Addr().String(), "udp": udp.LocalAddr().String()} {
		i := slices.IndexFunc(listeners, func(l Listener) bool { return l.Protocol == protocol && l.Address.String() == address })
		if i < 0 {
			t.Errorf("%s %s is not listed", protocol, address)
			continue
		}
		if owner, found := listeners[i].Owner("/", processes); !found || owner.PID != os.Getpid() {
			t.Errorf("%s %s is held by %+v, want this process", protocol, address, owner)
		}
	}
}

func TestParseSocketAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000:0050":                         "0.0.0.0:80",
		"00000000000000000000000001000000:18EB": "[::1]:6379",
		"0000000000000000FFFF00000202000A:01BB": "10.0.2.2:443",
	} {
		if got, err := parseSocketAddress(text); err != nil || got != netip.MustParseAddrPort(want) {
			t.Errorf("%s is read as %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0100007F", "0100007F:XYZ", "01:0050", "zz:0050", "01000:0050"} {
		if got, err := parseSocketAddress(text); err == nil {
			t.Errorf("%q is read as %s", text, got)
		}
	}
}

func TestAncestry(t *testing.T) {
	t.Parallel()
	list := []Process{{PID: 1}, {PID: 5, Parent: 1}, {PID: 9, Parent: 5}, {PID: 20, Parent: 21}, {PID: 21, Parent: 20}}
	var line []int
	for _, p := range list[2].Ancestry(list) {
		line = append(line, p.PID)
	}
	if !slices.Equal(line, []int{9, 5, 1}) {
		t.Errorf("got %v", line)
	}
	if got := len(list[3].Ancestry(list)); got > len(list)+1 {
		t.Errorf("a loop of parents gives %d ancestors", got)
	}
	if got := parentIn("42 (a ) b) S 7 42 42 0"); got != 7 {
		t.Errorf("parent is %d, want 7", got)
	}
}
