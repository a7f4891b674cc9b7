package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/arp"
	"islet/appliance/component"
	"islet/appliance/lab"
	"islet/appliance/layout"
	"islet/appliance/vip"
)

// moveLimit is how soon another server has to answer at an address.
const moveLimit = 3 * time.Second

// TestAddressMoves runs the bundle's keepalived for three machines, without the rest of a server, and takes the holder away in
// several ways.
func TestAddressMoves(t *testing.T) {
	programs := extracted(t, "keepalived", "hosttools")
	l, err := lab.Up(t.Context(), lab.Spec{
		Name: fmt.Sprintf("%s%d-move", labPrefix, os.Getpid()), Hosts: make([]lab.HostSpec, 4), Executable: executable(t),
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Error(err)
		}
	})
	m := &movers{programs: programs, client: l.Hosts()[3]}
	m.servers = []*mover{m.start(t, l.Hosts()[0])}
	m.grow = func() { // here: what starts ends with the whole test
		m.joined.Store(true)
		for _, h := range l.Hosts()[1:3] {
			m.servers = append(m.servers, m.start(t, h))
		}
	}
	for _, part := range []struct {
		name string
		run  func(*movers, *testing.T)
	}{
		{"alone, then three", (*movers).others},
		{"cable", (*movers).cable},
		{"unfit", (*movers).unfit},
		{"stopped", (*movers).stopped},
		{"killed", (*movers).killed},
		{"hangs", (*movers).hangs},
		{"deaf to each other", (*movers).deaf},
	} {
		if !t.Run(part.name, func(t *testing.T) { part.run(m, t) }) {
			for _, s := range m.servers {
				t.Logf("%s: %+v\n%s", s.host.Name(), s.keeper.Snapshot(), s.log)
			}
			t.FailNow()
		}
	}
}

// extracted takes engines out of the file under test and returns the folder of their programs.
func extracted(t *testing.T, engines ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"bundle", "extract", "--files", "--out", dir}
	for _, e := range engines {
		args = append(args, "--only", "engine/"+e)
	}
	if out, err := exec.CommandContext(t.Context(), executable(t), args...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(dir, "bin")
}

// mover is one machine with keepalived.
type mover struct {
	host   *lab.Host
	keeper *vip.Keeper
	unfit  atomic.Bool
	stop   func() // ends keepalived as a daemon that stops does
	log    *output
}

// output is what keepalived printed, for the diagnosis.
type output struct {
	mu   sync.Mutex
	text strings.Builder
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

type movers struct {
	programs string // folder
	client   *lab.Host
	servers  []*mover
	joined   atomic.Bool // whether the servers know of each other
	grow     func()
}

// start runs a keeper for a host. Its program and its looks are in the host's network.
func (m *movers) start(t *testing.T, h *lab.Host) *mover {
	t.Helper()
	s := &mover{host: h, log: &output{}}
	dir := t.TempDir()
	l := layout.Layout{StateDir: filepath.Join(dir, "state"), RunDir: filepath.Join(dir, "run")}
	if err := errors.Join(os.MkdirAll(filepath.Join(l.Generated(), vip.Name), 0o700), os.MkdirAll(l.RunDir, 0o700)); err != nil {
		t.Fatal(err)
	}
	network := netnsOf(t, h)
	s.keeper = vip.New(vip.Params{
		Layout: l, NodeName: h.Name(), IP: h.Addr(), Interface: "eth0", Log: slog.New(slog.NewTextHandler(s.log, nil)),
		Link: there{network, vip.Device{Name: "eth0"}},
		Addresses: []vip.Address{{Purpose: vip.API, IP: apiVIP, RouterID: 100, Serves: func(context.Context) error {
			if s.unfit.Load() {
				return errors.New("told to fail")
			}
			return nil
		}}},
		Peers: func() []netip.Addr {
			all := []netip.Addr{h.Addr()}
			for i := 0; i < 3 && m.joined.Load(); i++ {
				all = append(all, netip.AddrFrom4([4]byte{10, 77, 0, byte(11 + i)}))
			}
			return all
		},
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Output: s.log, Args: append([]string{"/usr/bin/nsenter", "--net=" + network, filepath.Join(m.programs, name)}, args...)}
		},
	})
	s.run(t)
	t.Cleanup(func() { s.stop() })
	return s
}

// run runs keepalived until s.stop is called.
func (s *mover) run(t *testing.T) {
	t.Helper()
	supervisor, err := component.NewSupervisor(slog.New(slog.NewTextHandler(s.log, nil)), s.keeper.Unit())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = supervisor.Run(ctx) // what went wrong is in the log
	}()
	s.stop = func() {
		cancel()
		<-ended
	}
}

// netnsOf is the host's network namespace, for as long as the test runs.
func netnsOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	pid, err := h.PID()
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("/proc/%d/ns/net", pid)
}

// there is a Link in another network namespace.
type there struct {
	network string
	device  vip.Device
}

func (l there) Has(addresses []netip.Addr) (held map[netip.Addr]bool, err error) {
	return held, l.do(func() error { held, err = l.device.Has(addresses); return err })
}

func (l there) Release(addresses []netip.Addr) error {
	return l.do(func() error { return l.device.Release(addresses) })
}

func (l there) Probe(ctx context.Context, addresses []netip.Addr) (answers arp.Answers, err error) {
	return answers, l.do(func() error { answers, err = l.device.Probe(ctx, addresses); return err })
}

// do runs f on a thread in the namespace.
func (l there) do(f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends here, with the namespace it is in
		file, err := os.Open(l.network)
		if err == nil {
			defer file.Close()
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// holders are the servers that have the address on their interface.
func (m *movers) holders(t *testing.T) []*mover {
	t.Helper()
	return slices.DeleteFunc(slices.Clone(m.servers), func(s *mover) bool {
		has, err := there{netnsOf(t, s.host), vip.Device{Name: "eth0"}}.Has([]netip.Addr{apiVIP})
		if err != nil {
			t.Fatal(err)
		}
		return !has[apiVIP]
	})
}

// one waits until there is one holder, other than those, and returns it with the time that took.
func (m *movers) one(t *testing.T, limit time.Duration, others ...*mover) (*mover, time.Duration) {
	t.Helper()
	var holder *mover
	took := await(t, limit, "one machine has the address", func(context.Context) error {
		list := slices.DeleteFunc(m.holders(t), func(s *mover) bool { return slices.Contains(others, s) })
		if len(list) != 1 {
			return fmt.Errorf("%d have it", len(list))
		}
		holder = list[0]
		return nil
	})
	t.Logf("%s has it after %s", holder.host.Name(), took.Round(10*time.Millisecond))
	return holder, took
}

// stays complains if another than s has the address within five seconds.
func (m *movers) stays(t *testing.T, s *mover) {
	t.Helper()
	for begun := time.Now(); time.Since(begun) < 5*time.Second; time.Sleep(pollInterval) { // nothing is to happen in this time
		if list := m.holders(t); len(list) != 1 || list[0] != s {
			t.Fatalf("%d machines have the address, which was at %s", len(list), s.host.Name())
		}
	}
}

// states waits until the holder and the two others say what they are.
func (m *movers) states(t *testing.T, holder *mover) {
	t.Helper()
	await(t, 20*time.Second, "all know who has the address", func(context.Context) error {
		for _, s := range m.servers {
			want := vip.Standby
			if s == holder {
				want = vip.Held
			}
			if v := s.keeper.Snapshot()[0]; v.State != want || v.Holder != holder.host.Addr().String() || v.Duplicate != "" {
				return fmt.Errorf("%s: %+v", s.host.Name(), v)
			}
		}
		return nil
	})
}

// others starts one server, and later two more: the first keeps the address.
func (m *movers) others(t *testing.T) {
	s, _ := m.one(t, 20*time.Second)
	m.states(t, s)
	m.grow()
	m.states(t, s)
	m.stays(t, s)
	answers, err := there{netnsOf(t, m.client), vip.Device{Name: "eth0"}}.Probe(t.Context(), []netip.Addr{apiVIP})
	if err != nil || len(answers[apiVIP]) != 1 {
		t.Errorf("a client hears %v (%v)", answers, err)
	}
}

// cable pulls the holder's cable: the address moves, and does not move back.
func (m *movers) cable(t *testing.T) {
	old, _ := m.one(t, moveLimit)
	if err := old.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	now, _ := m.one(t, moveLimit, old)
	if err := old.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.states(t, now)
	m.stays(t, now)
}

// unfit lets the holder's service fail, and come back.
func (m *movers) unfit(t *testing.T) {
	old, _ := m.one(t, moveLimit)
	old.unfit.Store(true)
	now, _ := m.one(t, 2*time.Second+moveLimit, old)
	old.unfit.Store(false)
	m.states(t, now)
	m.stays(t, now)
}

// stopped stops the holder as a service manager does.
func (m *movers) stopped(t *testing.T) {
	old, _ := m.one(t, moveLimit)
	go old.stop()
	now, _ := m.one(t, moveLimit, old)
	old.stop()
	if list := m.holders(t); len(list) != 1 || list[0] != now {
		t.Errorf("%d machines have the address", len(list))
	}
	old.run(t)
	m.states(t, now)
}

// processes are those of the host's keepalived, as this machine sees them.
func (m *movers) processes(t *testing.T, s *mover) []int {
	t.Helper()
	var pids []int
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.Readlink(netnsOf(t, s.host))
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		network, _ := os.Readlink(filepath.Join(dir, "ns/net"))
		program, _ := os.Readlink(filepath.Join(dir, "exe"))
		if network == want && program == filepath.Join(m.programs, vip.Name) {
			var pid int
			if _, err := fmt.Sscan(filepath.Base(dir), &pid); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	if len(pids) == 0 {
		t.Fatalf("no keepalived runs for %s", s.host.Name())
	}
	return pids
}

// signal sends to all processes of the host's keepalived.
func (m *movers) signal(t *testing.T, s *mover, sig unix.Signal) {
	t.Helper()
	for _, pid := range m.processes(t, s) {
		if err := unix.Kill(pid, sig); err != nil && !errors.Is(err, unix.ESRCH) { // one may have taken the other along
			t.Error(err)
		}
	}
}

// killed kills the holder's keepalived, which leaves the address on the machine until the next run.
func (m *movers) killed(t *testing.T) {
	old, _ := m.one(t, moveLimit)
	m.signal(t, old, unix.SIGKILL)
	now, _ := m.one(t, moveLimit, old)
	m.states(t, now)
	m.stays(t, now)
}

// hangs stops the holder's keepalived: another takes the address, and within seconds one of them gives it up.
func (m *movers) hangs(t *testing.T) {
	old, _ := m.one(t, moveLimit)
	m.signal(t, old, unix.SIGSTOP)
	await(t, moveLimit, "another takes the address", func(context.Context) error {
		if n := len(m.holders(t)); n != 2 {
			return fmt.Errorf("%d have it", n)
		}
		return nil
	})
	now, _ := m.one(t, 40*time.Second)
	if now == old { // it has the higher address and keeps it, hanging
		m.signal(t, old, unix.SIGCONT)
	}
	now, _ = m.one(t, 20*time.Second)
	m.stays(t, now)
}

// deaf lets nothing pass between the servers but ARP and what else they do not use, and heals that again.
func (m *movers) deaf(t *testing.T) {
	m.filter(t, "add table ip deaf; add chain ip deaf in { type filter hook input priority 0; }; add rule ip deaf in ip protocol 112 drop")
	now := m.servers[len(m.servers)-1] // of two, the one with the lower address gives it up
	await(t, time.Minute, now.host.Name()+" alone has the address, and the others tell why", func(context.Context) error {
		for _, s := range m.servers {
			if v := s.keeper.Snapshot()[0]; s != now && !strings.Contains(v.Duplicate, "VRRP") {
				return fmt.Errorf("%s: %+v", s.host.Name(), v)
			}
		}
		if list := m.holders(t); len(list) != 1 || list[0] != now {
			return fmt.Errorf("%d have it", len(list))
		}
		return nil
	})
	m.stays(t, now)
	if err := now.host.Cut(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.one(t, 30*time.Second, now)
	m.filter(t, "delete table ip deaf")
	if err := now.host.Heal(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.one(t, time.Minute)
}

// filter runs nft in every server.
func (m *movers) filter(t *testing.T, rules string) {
	t.Helper()
	for _, s := range m.servers {
		nft := exec.CommandContext(t.Context(), "nsenter", "--net="+netnsOf(t, s.host), filepath.Join(m.programs, "nft"), "-f", "-")
		nft.Stdin = strings.NewReader(rules)
		if out, err := nft.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
}
