package preflight

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/arp"
	"islet/appliance/config"
	"islet/appliance/host"
)

// expect is one measurement and the status it must be judged with.
type expect struct {
	name string
	got  verdict
	want Status
}

func mount(kind string, options ...string) host.Mount {
	return host.Mount{Point: "/data", Type: kind, Options: options}
}

func cgroup(mode host.CgroupMode, controllers ...string) host.Cgroup {
	return host.Cgroup{Mode: mode, Controllers: controllers}
}

// Every judge is fed a value that passes and one that does not; the numbers sit on both sides of
// the threshold, so that a wrong unit shows.
func TestJudges(t *testing.T) {
	t.Parallel()
	build := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	readOnly := cgroup(host.CgroupV2, "cpu", "cpuset", "memory", "pids")
	readOnly.ReadOnly = true
	all := ^host.Capabilities(0)
	eth0 := host.Interface{Name: "eth0", Carrier: true}
	unplugged := host.Interface{Name: "eth0"}
	prefix := netip.MustParsePrefix("192.0.2.2/24")
	gib := func(n float64) space { return space{dir: "/data", freeBytes: int64(n * gibibyte)} }

	for _, e := range []expect{
		{"root", judgeUID(0), Passed},
		{"not root", judgeUID(1000), Failed},
		{"clock after the build", judgeClock(build)(build.Add(time.Hour)), Passed},
		{"clock before the build", judgeClock(build)(build.Add(-time.Second)), Warned},
		{"clock far ahead", judgeClock(build)(build.AddDate(21, 0, 0)), Warned},
		{"clock of an unstamped build", judgeClock(time.Time{})(time.Unix(0, 0)), Passed},
		{"two processors", judgeCPU(2), Passed},
		{"one processor", judgeCPU(1), Warned},
		{"no processor", judgeCPU(0), Failed},
		{"4 GB as the kernel reports it", judgeMemory(4_000_000_000), Passed},
		{"2 GiB as the kernel reports it", judgeMemory(1_900 * mebibyte), Warned},
		{"1 GiB", judgeMemory(1 * gibibyte), Failed},
		{"reservation fits", judgeFit("350m")(nil), Passed},
		{"reservation too large", judgeFit("350m")(config.Problems{{Path: "kubelet", Message: "m", Advice: "a"}, {}}), Failed},
		{"no swap", judgeSwap(0), Passed},
		{"swap", judgeSwap(4096), Warned},
		{"many files", judgeOpenFiles(20000), Passed},
		{"few files", judgeOpenFiles(8192), Warned},
		{"very few files", judgeOpenFiles(1024), Failed},
		{"disk large", judgeBytes(2*gibibyte, 4*gibibyte)(gib(15.1)), Passed},
		{"disk small", judgeBytes(2*gibibyte, 4*gibibyte)(gib(14.9)), Warned},
		{"disk too small", judgeBytes(2*gibibyte, 4*gibibyte)(gib(4.9)), Failed},
		{"inodes", judgeInodes(5)(space{inodes: 10e6, freeInodes: 1e6}), Passed},
		{"inodes few", judgeInodes(5)(space{inodes: 2e6, freeInodes: 400_000}), Warned},
		{"inodes too few", judgeInodes(5)(space{inodes: 1e6, freeInodes: 90_000}), Failed},
		{"inodes below eviction", judgeInodes(5)(space{inodes: 40e6, freeInodes: 2e6}), Failed},
		{"inodes without a number", judgeInodes(5)(space{}), Passed},
		{"mount", judgeMount(mount("ext4", "rw", "nodev")), Passed},
		{"mount read-only", judgeMount(mount("ext4", "ro")), Failed},
		{"mount noexec", judgeMount(mount("xfs", "rw", "noexec")), Failed},
		{"mount nosuid", judgeMount(mount("xfs", "rw", "nosuid")), Warned},
		{"mount in memory", judgeMount(mount("tmpfs", "rw")), Failed},
		{"mount on the network", judgeMount(mount("nfs4", "rw")), Failed},
		{"fsync fast", judgeFsync(19 * time.Millisecond), Passed},
		{"fsync slow", judgeFsync(21 * time.Millisecond), Warned},
		{"fsync hopeless", judgeFsync(1100 * time.Millisecond), Failed},
		{"overlay", judgeOverlay(trial{dir: "/data"}), Passed},
		{"overlay nested", judgeOverlay(trial{"/data", unix.EINVAL}), Failed},
		{"overlay not permitted", judgeOverlay(trial{"/data", unix.EPERM}), Failed},
		{"overlay unknown", judgeOverlay(trial{"/data", unix.ENODEV}), Failed},
		{"exec", judgeExec(trial{dir: "/data"}), Passed},
		{"exec refused", judgeExec(trial{"/data", unix.EACCES}), Failed},
		{"kernel new enough", judgeKernel(host.Kernel{Release: "5.13.0", Major: 5, Minor: 13}), Passed},
		{"kernel of another decade", judgeKernel(host.Kernel{Release: "6.1.0", Major: 6, Minor: 1}), Passed},
		{"kernel too old", judgeKernel(host.Kernel{Release: "5.4.0", Major: 5, Minor: 4}), Failed},
		{"cgroup v2", judgeCgroup(cgroup(host.CgroupV2, "cpu", "cpuset", "memory", "pids")), Passed},
		{"cgroup hybrid", judgeCgroup(cgroup(host.CgroupHybrid, "cpu", "cpuset", "memory", "pids")), Warned},
		{"cgroup v1", judgeCgroup(cgroup(host.CgroupV1, "cpu", "cpuset", "memory", "pids")), Warned},
		{"cgroup without memory", judgeCgroup(cgroup(host.CgroupV2, "cpu", "cpuset", "pids")), Failed},
		{"cgroup read-only", judgeCgroup(readOnly), Failed},
		{"cgroup none", judgeCgroup(cgroup(host.CgroupNone)), Failed},
		{"capabilities all", judgeCapabilities(all), Passed},
		{"capabilities without SYS_RESOURCE", judgeCapabilities(all &^ (1 << host.CapSysResource)), Warned},
		{"capabilities without NET_ADMIN", judgeCapabilities(all &^ (1 << host.CapNetAdmin)), Failed},
		{"feature there", judgeFeature(Failed, "a")(host.Yes), Passed},
		{"feature needed and missing", judgeFeature(Failed, "a")(host.No), Failed},
		{"feature useful and missing", judgeFeature(Warned, "a")(host.No), Warned},
		{"feature unknown", judgeFeature(Failed, "a")(host.Unknown), Warned},
		{"feature of two, one missing", judgeFeature(Failed, "a")(both(host.Yes, host.No)), Failed},
		{"feature of two, one unknown", judgeFeature(Failed, "a")(both(host.Yes, host.Unknown)), Warned},
		{"feature of two", judgeFeature(Failed, "a")(both(host.Yes, host.Yes)), Passed},
		{"security modules", judgeLSM([]string{"apparmor"}), Info},
		{"no security modules", judgeLSM(nil), Info},
		{"address static", judgeStable(nodeLink{eth0, host.Address{Prefix: prefix}}), Passed},
		{"address leased", judgeStable(nodeLink{eth0, host.Address{Prefix: prefix, Dynamic: true}}), Warned},
		{"address unplugged", judgeStable(nodeLink{unplugged, host.Address{Prefix: prefix}}), Warned},
		{"address missing", judgeStable(nodeLink{}), Info},
		{"MTU", judgeMTU(1450), Passed},
		{"MTU small", judgeMTU(1200), Warned},
		{"MTU too small", judgeMTU(500), Failed},
		{"MTU unknown", judgeMTU(-50), Info},
		{"default route", judgeRoute(&host.Route{Interface: "eth0", Gateway: prefix.Addr()}), Passed},
		{"no default route", judgeRoute(nil), Passed},
		{"virtual addresses free", judgeVIPs([]netip.Addr{prefix.Addr()}, false)(nil), Passed},
		{"virtual address taken", judgeVIPs([]netip.Addr{prefix.Addr()}, false)(arp.Answers{prefix.Addr(): {"02:00:00:00:00:01"}}), Failed},
		{"virtual address of the site", judgeVIPs([]netip.Addr{prefix.Addr()}, true)(arp.Answers{prefix.Addr(): {"02:00:00:00:00:01"}}), Info},
		{"ports free", judgePorts(11)(nil), Passed},
		{"port taken", judgePorts(11)([]takenPort{{config.Port{Number: 80, Path: "gateway.httpPort"}, "nginx (pid 7)"}}), Failed},
		{"no other Kubernetes", judgeKubernetes(nil), Passed},
		{"other Kubernetes", judgeKubernetes([]sighting{{"k3s", "pid 9"}}), Failed},
		{"no engine", judgeEngine(nil), Passed},
		{"engine", judgeEngine([]sighting{{"Docker", "pid 9"}}), Warned},
		{"no firewall", judgeFirewall(nil), Passed},
		{"firewall", judgeFirewall([]sighting{{"firewalld", "pid 9"}}), Warned},
		{"no allow list", judgeAllowlist(nil), Passed},
		{"allow list", judgeAllowlist([]sighting{{"fapolicyd", "pid 9"}}), Warned},
	} {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			if e.got.status != e.want {
				t.Errorf("judged %s, want %s: %+v", e.got.status, e.want, e.got)
			}
			if e.got.found == "" {
				t.Error("does not say what was found")
			}
			if needsAdvice := e.want == Warned || e.want == Failed; needsAdvice != (e.got.advice != "") {
				t.Errorf("status %s with advice %q", e.want, e.got.advice)
			}
		})
	}
}

func TestAFailedProbeWarns(t *testing.T) {
	t.Parallel()
	c := check[int]{id: "x", title: "X", judge: judgeUID, probe: failingProbe}
	if r := c.Run(t.Context()); r.Status != Warned || r.Found != "could not be measured: no such disk" || r.Advice == "" {
		t.Errorf("got %+v", r)
	}
}

var errProbe = errors.New("no such disk")
