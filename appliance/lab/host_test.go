package lab_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"islet/appliance/lab"
	"islet/appliance/lab/guest"
)

func TestHostSeesNothingOfTheMachine(t *testing.T) {
	t.Parallel()
	checkout, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("/usr/local/lib/islet-lab-test", 0o755); err != nil {
		t.Fatal(err)
	}
	defer os.Remove("/usr/local/lib/islet-lab-test")
	layout := newLayout(t)
	l := up(t, layout, lab.Spec{Hide: []string{"/usr/local/lib/islet-lab-test"}}, 1)
	h := host(t, l, "node1")
	for _, hidden := range []string{checkout, layout.StateDir, layout.RunDir, "/usr/local/lib/islet-lab-test"} {
		output(t, h, "test ! -e "+hidden)
	}
	for _, empty := range []string{"/root", "/home", "/opt", "/srv", "/tmp", "/var/log", "/var/lib"} {
		if out := output(t, h, "ls -A "+empty); out != "" {
			t.Errorf("%s is not empty: %q", empty, out)
		}
	}
	if out := output(t, h, "cat /etc/resolv.conf; ls /sys/class/net; ls /proc | grep -c '^[0-9]'"); !strings.HasPrefix(out, "eth0\nlo\n") {
		t.Errorf("got %q", out)
	}
	if out := output(t, h, "ip route show table main"); strings.Contains(out, "default") {
		t.Errorf("there is a default route: %s", out)
	}
}

func TestHostCannotChangeTheMachine(t *testing.T) {
	t.Parallel()
	before, err := os.ReadFile("/proc/sys/vm/overcommit_memory")
	if err != nil {
		t.Fatal(err)
	}
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	// what a kubelet insists on setting can be set, for the host alone
	if out := output(t, h, "echo 1 >/proc/sys/vm/overcommit_memory; echo 10 >/proc/sys/kernel/panic; cat /proc/sys/vm/overcommit_memory /proc/sys/kernel/panic"); out != "1\n10" {
		t.Errorf("got %q", out)
	}
	if after, err := os.ReadFile("/proc/sys/vm/overcommit_memory"); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the machine's setting was %q and is %q, %v", before, after, err)
	}
	for _, line := range []string{"echo 1 >/proc/sys/vm/swappiness", "echo h >/proc/sysrq-trigger", "echo 1 >/sys/kernel/mm/ksm/run", "echo x >/proc/sys/kernel/core_pattern"} {
		if _, err := h.Output(t.Context(), "sh", "-c", line); err == nil {
			t.Errorf("%s succeeded", line)
		}
	}
	output(t, h, "echo 1 >/proc/sys/net/ipv4/ip_forward") // belongs to the host
}

func TestHostCanDoWhatANodeMust(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	for _, test := range []struct{ name, line string }{
		{"nested overlay on /var/lib", `cd /var/lib && mkdir -p o/l o/u o/w o/m && echo low >o/l/f && mount -t overlay overlay -o lowerdir=o/l,upperdir=o/u,workdir=o/w o/m &&
			echo up >>o/m/f && test "$(cat o/m/f)" = "low
up" && umount o/m`},
		{"control groups in every hierarchy", `for d in /sys/fs/cgroup/*/cgroup.procs; do d=$(dirname $d)/kubepods; mkdir $d || exit 1; rmdir $d; done`},
		{"processes in them", `mkdir /sys/fs/cgroup/memory/k /sys/fs/cgroup/cpuset/k && cat /sys/fs/cgroup/cpuset/cpuset.cpus >/sys/fs/cgroup/cpuset/k/cpuset.cpus &&
			cat /sys/fs/cgroup/cpuset/cpuset.mems >/sys/fs/cgroup/cpuset/k/cpuset.mems && echo $$ >/sys/fs/cgroup/cpuset/k/cgroup.procs`},
		{"shared mounts", `grep -q ' / / .* shared:' /proc/self/mountinfo && mkdir -p /mnt/a && mount -t tmpfs x /mnt/a && unshare -m --propagation unchanged true && umount /mnt/a`},
		{"devices", `echo x >/dev/null && test -c /dev/kmsg -a -c /dev/fuse -a -c /dev/net/tun -a -d /dev/shm && head -c1 /dev/urandom >/dev/null`},
		{"network devices of its own", `ip link add v0 type veth peer name v1 && test -d /sys/class/net/v0 && ip link del v0`},
		{"network namespaces", `ip netns add x && ip netns exec x ip link && ip netns del x`},
		{"message queues", `mount | grep -q mqueue`},
		{"its own program", `test -x /usr/local/bin/appliance && cp /usr/local/bin/appliance /usr/local/bin/new && mv /usr/local/bin/new /usr/local/bin/appliance`},
	} {
		if _, err := h.Output(t.Context(), "sh", "-c", test.line); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func TestPowerCut(t *testing.T) {
	t.Parallel()
	spec := lab.HostSpec{Boot: lab.Service{Args: []string{"sh", "-c", "echo booted; sleep 1000"}}}
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{spec}}, 1), "node1")
	output(t, h, `echo a >/etc/kept; echo b >/var/lib/kept; echo c >/run/lost; echo d >/tmp/lost; rm /etc/passwd
		mkdir /sys/fs/cgroup/cpu/lost; ip link add lost type veth peer name lost2; mount -t tmpfs lost /mnt
		setsid sleep 1002 >/dev/null 2>&1 </dev/null &`)
	bootID := output(t, h, "cat /proc/sys/kernel/random/boot_id")
	if err := h.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pids, err := h.Processes(); err != nil || len(pids) != 0 {
		t.Errorf("processes after the power cut: %v, %v", pids, err)
	}
	if err := h.Kill(t.Context()); err != nil {
		t.Errorf("second kill: %v", err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := h.Start(t.Context()); !errors.Is(err, lab.ErrRunning) {
		t.Errorf("second start: got %v, want ErrRunning", err)
	}
	want := "a\nb\nlo eth0 /\n10.77.0.11/24"
	got := output(t, h, `cat /etc/kept /var/lib/kept; test ! -e /run/lost -a ! -e /tmp/lost -a ! -e /etc/passwd -a ! -e /sys/fs/cgroup/cpu/lost || echo something came back
		! pgrep -f '^sleep 1002' || echo a process lives; ! grep lost /proc/self/mountinfo
		echo $(ip -o link | cut -d' ' -f2 | tr -d : | cut -d@ -f1) /; ip -o -4 addr show dev eth0 | awk '{print $4}'`)
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if bootID == output(t, h, "cat /proc/sys/kernel/random/boot_id") {
		t.Error("the boot id is the same")
	}
	eventually(t, func() error {
		var log bytes.Buffer
		err := h.CopyLog(t.Context(), &log, false)
		if n := strings.Count(log.String(), "booted\n"); n != 2 {
			err = fmt.Errorf("the log has %d boots, %w", n, errors.Join(err, errors.New("want 2")))
		}
		return err
	})
}

func TestStopIsGraceful(t *testing.T) {
	t.Parallel()
	spec := lab.HostSpec{Boot: lab.Service{Args: []string{"sh", "-c", `trap 'echo ended >/var/lib/end; exit' TERM; echo >/run/ready; while :; do sleep 0.01; done`}}}
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{spec}}, 1), "node1")
	eventually(t, func() error { _, err := h.ReadFile("/run/ready"); return err })
	output(t, h, `setsid sh -c 'trap "echo ended >/var/lib/other; exit" TERM; echo >/run/other; while :; do sleep 0.01; done' >/dev/null 2>&1 </dev/null &`)
	eventually(t, func() error { _, err := h.ReadFile("/run/other"); return err })
	if err := h.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.Running() {
		t.Error("still running")
	}
	for _, name := range []string{"/var/lib/end", "/var/lib/other"} {
		if content, err := os.ReadFile(h.Path(name)); err != nil || string(content) != "ended\n" {
			t.Errorf("%s: %q, %v", name, content, err)
		}
	}
	if err := h.Stop(t.Context()); err != nil {
		t.Errorf("second stop: %v", err)
	}
}

func TestStatusOfAHostThatGoesOff(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	var asking errgroup.Group
	quit := make(chan struct{})
	for range 3 {
		asking.Go(func() error {
			for {
				select {
				case <-quit:
					return nil
				default:
				}
				if _, err := h.Status(t.Context()); err != nil {
					return err
				}
			}
		})
	}
	for i := range 20 {
		end := h.Stop
		if i%2 == 1 {
			end = h.Kill
		}
		if err := errors.Join(end(t.Context()), h.Start(t.Context())); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
	}
	close(quit)
	if err := asking.Wait(); err != nil {
		t.Error(err)
	}
}

func TestBootCommandIsKeptLikeAUnit(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{{Boot: toolService("parent")}}}, 1), "node1")
	child := func() string { return output(t, h, "pgrep -f '^child-of-boot' | sort -n | head -1") }
	running := func(than int) int {
		pid := 0
		eventually(t, func() (err error) {
			if pid, err = h.BootPID(t.Context()); err == nil && (pid == than || child() == "") {
				err = fmt.Errorf("boot command is still %d or has no child", than)
			}
			return err
		})
		return pid
	}
	first := running(0)
	firstChild := child()
	if err := h.SignalBoot(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	second := running(first)
	if child() != firstChild {
		t.Error("the child died with the boot command")
	}
	status, err := h.Status(t.Context())
	if err != nil || status.Boot.Restarts != 1 || status.Boot.LastEnd != "signal: killed" || status.Boot.State != guest.StateRunning {
		t.Errorf("after kill -9: %+v, %v", status.Boot, err)
	}
	if err := h.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := h.BootPID(t.Context()); !errors.Is(err, lab.ErrNotRunning) {
		t.Errorf("stopped, but: %v", err)
	}
	if child() != firstChild {
		t.Error("the child died with the stop")
	}
	if err := errors.Join(h.StartBoot(t.Context()), h.StartBoot(t.Context())); err != nil {
		t.Fatal(err)
	}
	third := running(second)
	if err := h.RestartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	running(third)
	status, err = h.Status(t.Context())
	if err != nil || status.Boot.Restarts != 1 {
		t.Errorf("requested ends count as restarts: %+v, %v", status.Boot, err)
	}
}

func TestBootCommandStartsWithACleanSlate(t *testing.T) {
	t.Parallel()
	signal.Ignore(syscall.SIGUSR2) // as whoever starts a lab may do
	line := `grep -E '^Sig(Blk|Ign)' /proc/self/status; ls /proc/self/fd | tr '\n' ' '; kill -INT 1; kill -HUP 1; kill -PIPE 1; echo still here; sleep 1000`
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{{Boot: lab.Service{Args: []string{"sh", "-c", line}}}}}, 1), "node1")
	awaitLog(t, h, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n0 1 2 3 still here\n") // 3 is ls's own
	if status, err := h.Status(t.Context()); err != nil || status.Boot.Restarts != 0 {
		t.Errorf("%+v, %v", status, err)
	}
}

func TestStubbornBootCommandIsKilled(t *testing.T) {
	t.Parallel()
	boot := toolService("stubborn")
	boot.StopTimeout = 200 * time.Millisecond
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{{Boot: boot}}}, 1), "node1")
	awaitLog(t, h, "stubborn is ready")
	if err := h.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	status, err := h.Status(t.Context())
	if err != nil || status.Boot.State != guest.StateStopped || status.Boot.LastEnd != "signal: killed" {
		t.Errorf("%+v, %v", status.Boot, err)
	}
}

func TestHostWithoutBootCommand(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	if err := h.RestartBoot(t.Context()); err == nil || !strings.Contains(err.Error(), "no boot command") {
		t.Errorf("restart: got %v", err)
	}
	if err := h.SignalBoot(t.Context(), syscall.SIGHUP); err == nil {
		t.Error("a signal to nothing succeeded")
	}
}

func TestMissingBootCommandIsRetried(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{{Boot: lab.Service{Args: []string{"/var/lib/later"}}}}}, 1), "node1")
	if err := h.WriteFile("/var/lib/later", []byte("#!/bin/sh\necho here I am\nsleep 1000\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	awaitLog(t, h, "here I am")
}

func awaitLog(t *testing.T, h *lab.Host, text string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log, ended := &notifyingBuffer{wait: make(chan string, 1000)}, make(chan error, 1)
	go func() { ended <- h.CopyLog(ctx, log, true) }()
	log.await(t, text)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{Hosts: []lab.HostSpec{{Limits: lab.Limits{CPUs: 0.5, MemoryMiB: 64}}}}, 1)
	h := host(t, l, "node1")
	got := output(t, h, "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null || cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory.max")
	if got != "50000\n67108864" && got != "50000 100000\n67108864" {
		t.Errorf("limits are %q", got)
	}
	if _, err := h.Output(t.Context(), "sh", "-c", "head -c 200m /dev/zero | tail -c 150m >/dev/null"); err == nil {
		t.Error("a program used more memory than the host has")
	}
}

func TestSnapshotDiff(t *testing.T) {
	t.Parallel()
	h := host(t, up(t, newLayout(t), lab.Spec{}, 1), "node1")
	snapshot := func() lab.Snapshot {
		s, err := h.Snapshot(lab.SnapshotScope{Skip: []string{"/var/log", "/run/mount"}})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := snapshot()
	output(t, h, "echo x >/var/log/skipped")
	if diff := before.Diff(snapshot()); diff != "" {
		t.Errorf("an idle host changes by itself:\n%s", diff)
	}
	output(t, h, `echo x >/etc/new; chmod 600 /etc/hosts; mount -t tmpfs x /mnt; ip link add v type veth peer name w; mkdir /sys/fs/cgroup/cpu/y
		setsid sleep 1003 >/dev/null 2>&1 </dev/null & ip route add 10.43.0.0/16 dev eth0; ip addr add 10.77.0.200/32 dev eth0
		ip rule add fwmark 5 table 7; echo 1 >/proc/sys/net/ipv4/ip_forward`)
	if err := h.Exec(t.Context(), tool("nft")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		diff := before.Diff(snapshot())
		for _, want := range []string{
			"mounts:\n  + /mnt ", "  + v veth", "+ eth0 10.77.0.200/32", "10.43.0.0/16", "rule", "nftables:\n  + ",
			"ip_forward = 1", "cpu:/y", "+ sleep 1003", "+ /etc/new -rw-r--r-- 2", "- /etc/hosts -rw-r--r--", "+ /etc/hosts -rw-------",
		} {
			if !strings.Contains(diff, want) {
				return fmt.Errorf("the difference lacks %q:\n%s", want, diff)
			}
		}
		return nil
	})
	output(t, h, `rm /etc/new; chmod 644 /etc/hosts; umount /mnt; ip link del v; rmdir /sys/fs/cgroup/cpu/y; pkill -f '^sleep 1003'
		ip route del 10.43.0.0/16 dev eth0; ip addr del 10.77.0.200/32 dev eth0; ip rule del fwmark 5 table 7; echo 0 >/proc/sys/net/ipv4/ip_forward`)
	if err := h.Exec(t.Context(), tool("nft", "flush")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if diff := before.Diff(snapshot()); diff != "" {
			return fmt.Errorf("undone, but:\n%s", diff)
		}
		return nil
	})
}

func TestAllHostsAtOnce(t *testing.T) {
	t.Parallel()
	l := up(t, newLayout(t), lab.Spec{}, 3)
	node1 := host(t, l, "node1")
	output(t, node1, "echo kept >/var/lib/x && sync")
	if err := host(t, l, "node3").Kill(t.Context()); err != nil { // one that is off stays off
		t.Fatal(err)
	}
	if err := l.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts() {
		if h.Running() {
			t.Errorf("%s runs", h.Name())
		}
	}
	if err := l.Kill(t.Context()); err != nil {
		t.Errorf("again: %v", err)
	}
	if err := node1.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	boot := output(t, node1, "cat /proc/sys/kernel/random/boot_id")
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, h := range l.Hosts() {
		if !h.Running() {
			t.Errorf("%s is off", h.Name())
		}
	}
	if again := output(t, node1, "cat /proc/sys/kernel/random/boot_id; cat /var/lib/x"); again != boot+"\nkept" {
		t.Errorf("a host that ran was booted, or its disk lost: %q, was %q", again, boot)
	}
}
