package vip

import (
	"context"
	"errors"
	"flag"
	"io/fs"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"islet/appliance/arp"
	"islet/appliance/component"
	"islet/appliance/layout"
)

var update = flag.Bool("update", false, "write golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed; if that is right, run the test with -update\n%s", path, got)
	}
}

// wire is a Link in memory. A test changes it between looks, with change.
type wire struct {
	mu       sync.Mutex
	held     map[netip.Addr]bool
	answers  arp.Answers
	err      error
	released []netip.Addr
	serves   error        // of all addresses
	others   []netip.Addr // servers
}

func (w *wire) change(do func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	do()
}

func (w *wire) Has([]netip.Addr) (held map[netip.Addr]bool, err error) {
	w.change(func() { held, err = maps.Clone(w.held), w.err })
	return held, err
}

func (w *wire) Release(list []netip.Addr) (err error) {
	w.change(func() { w.released, err = list, w.err })
	return err
}

func (w *wire) Probe(context.Context, []netip.Addr) (answers arp.Answers, err error) {
	w.change(func() { answers, err = maps.Clone(w.answers), w.err })
	return answers, err
}

// bench is a keeper with a state of its own in a directory of the test.
type bench struct {
	*Keeper
	*wire
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{wire: &wire{}}
	l := layout.Layout{StateDir: t.TempDir(), RunDir: t.TempDir()}
	if err := os.MkdirAll(filepath.Join(l.Generated(), Name), 0o700); err != nil {
		t.Fatal(err)
	}
	serves := func(context.Context) (err error) {
		b.change(func() { err = b.serves })
		return err
	}
	b.Keeper = New(Params{
		Layout: l, NodeName: "node1", IP: own, Interface: "eth0", Link: b.wire, Log: slog.New(slog.DiscardHandler),
		Addresses: []Address{{API, virtual, 100, serves}, {Applications, virtual.Next(), 101, serves}},
		Peers: func() (others []netip.Addr) {
			b.change(func() { others = b.others })
			return others
		},
		Child: func(name string, args ...string) component.Spec {
			return component.Spec{Name: name, Args: append([]string{name}, args...)}
		},
	})
	return b
}

func (b *bench) permitted(t *testing.T) string {
	t.Helper()
	var all string
	for _, a := range b.Addresses {
		content, err := os.ReadFile(b.trackFile(a.Purpose))
		if err != nil {
			t.Fatal(err)
		}
		all += strings.TrimSpace(string(content))
	}
	return all
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, peers := range map[string][]netip.Addr{"alone": nil, "three": {lower, higher}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			got, err := b.config(peers)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name+".conf", strings.ReplaceAll(string(got), b.Layout.RunDir, "RUN"))
		})
	}
}

// TestRanks: each server has a priority of its own for each address, and who is first for one is last for the other.
func TestRanks(t *testing.T) {
	t.Parallel()
	all := []netip.Addr{lower, own, higher}
	for i, want := range [][2]int{{200, 180}, {190, 190}, {180, 200}} {
		b := newBench(t)
		b.IP = all[i]
		peers := slices.Delete(slices.Clone(all), i, i+1)
		if got := [2]int{b.priority(0, peers), b.priority(1, peers)}; got != want {
			t.Errorf("server %d has the priorities %v, want %v", i, got, want)
		}
	}
}

func TestPrepareStartsFromNothing(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := os.MkdirAll(b.Layout.VIP(), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"api", "keepalived.pid"} {
		if err := os.WriteFile(filepath.Join(b.Layout.VIP(), name), []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.prepare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := b.permitted(t); got != "00" {
		t.Errorf("permitted %s", got)
	}
	if !slices.Equal(b.released, []netip.Addr{virtual, virtual.Next()}) {
		t.Errorf("released %v", b.released)
	}
	if _, err := os.Stat(b.pidFiles()[0]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the pid file of before: %v", err)
	}
	b.change(func() { b.err = errors.New("no link") })
	if err := b.prepare(t.Context(), nil); err == nil {
		t.Error("starts though the addresses may be on the machine")
	}
}

// watching runs the keeper's watch in a bubble, and returns what it ended with.
func watching(t *testing.T, script func(b *bench, reloads *atomic.Int64)) error {
	t.Helper()
	var ended error
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t)
		if err := b.prepare(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		var reloads atomic.Int64
		done := make(chan error, 1)
		go func() { done <- b.watch(ctx, func() error { reloads.Add(1); return nil }) }()
		synctest.Wait()
		script(b, &reloads)
		stop()
		ended = <-done
	})
	return ended
}

func TestHealthDecides(t *testing.T) {
	t.Parallel()
	err := watching(t, func(b *bench, _ *atomic.Int64) {
		for i, step := range []struct {
			serves error
			after  time.Duration
			want   string
		}{
			{nil, 0, "11"},
			{errors.New("not ready"), interval, "11"},
			{errors.New("not ready"), interval, "00"},
			{nil, interval, "11"},
		} {
			b.change(func() { b.serves = step.serves })
			time.Sleep(step.after)
			synctest.Wait()
			if got := b.permitted(t); got != step.want {
				t.Errorf("step %d: permitted %s, want %s; %+v", i, got, step.want, b.Snapshot())
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStrangersAddressIsNotTaken(t *testing.T) {
	t.Parallel()
	err := watching(t, func(b *bench, _ *atomic.Int64) {
		b.change(func() { b.answers = arp.Answers{virtual: {"02:00:00:00:00:99"}} })
		time.Sleep(lookInterval)
		synctest.Wait()
		if got, s := b.permitted(t), b.Snapshot(); got != "01" || s[0].Duplicate == "" || s[1].Duplicate != "" {
			t.Errorf("permitted %s; %+v", got, s)
		}
		b.change(func() { b.err = errors.New("the cable is out") }) // nothing is known, so nothing changes
		time.Sleep(lookInterval)
		synctest.Wait()
		if got, s := b.permitted(t), b.Snapshot(); got != "01" || s[1].Missing() || s[1].Reason != "the cable is out" {
			t.Errorf("permitted %s while the link cannot be asked; %+v", got, s)
		}
		b.change(func() { b.err, b.answers = nil, nil })
		time.Sleep(lookInterval)
		synctest.Wait()
		if got := b.permitted(t); got != "11" {
			t.Errorf("permitted %s though the stranger is gone", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
}

func TestStuckKeepalivedIsEnded(t *testing.T) {
	t.Parallel()
	err := watching(t, func(b *bench, _ *atomic.Int64) {
		b.change(func() { b.held, b.serves = map[netip.Addr]bool{virtual: true}, errors.New("not ready") })
		time.Sleep(time.Minute)
	})
	if !errors.Is(err, ErrStuck) {
		t.Errorf("ended with %v", err)
	}
}

func TestOtherServersAreHeardOf(t *testing.T) {
	t.Parallel()
	err := watching(t, func(b *bench, reloads *atomic.Int64) {
		for i, others := range [][]netip.Addr{{higher, lower, own}, {lower, higher}, {higher}} {
			b.change(func() { b.others = others })
			time.Sleep(interval)
			synctest.Wait()
			content, err := os.ReadFile(b.configFile())
			if err != nil {
				t.Fatal(err)
			}
			if want := []int64{1, 1, 2}[i]; reloads.Load() != want {
				t.Errorf("step %d: %d reloads, want %d", i, reloads.Load(), want)
			}
			if had := strings.Contains(string(content), lower.String()+" min_ttl"); had != slices.Contains(others, lower) {
				t.Errorf("step %d: the configuration is\n%s", i, content)
			}
		}
	})
	if err != nil {
		t.Error(err)
	}
}

// TestNewServersEndYielding: two servers that did not know of each other have both taken an address.
func TestNewServersEndYielding(t *testing.T) {
	t.Parallel()
	err := watching(t, func(b *bench, _ *atomic.Int64) {
		mac := []string{"02:00:00:00:00:0d"}
		b.change(func() {
			b.others, b.held = []netip.Addr{higher}, map[netip.Addr]bool{virtual: true}
			b.answers = arp.Answers{virtual: mac, higher: mac}
		})
		time.Sleep(lookInterval + sharedLooks*interval)
		synctest.Wait()
		if got := b.permitted(t); got != "01" {
			t.Errorf("permitted %s while both have it", got)
		}
		b.change(func() { b.held, b.others = nil, []netip.Addr{lower, higher} })
		time.Sleep(lookInterval)
		synctest.Wait()
		if got := b.permitted(t); got != "11" {
			t.Errorf("permitted %s after the list has changed", got)
		}
	})
	if err != nil {
		t.Error(err)
	}
}
