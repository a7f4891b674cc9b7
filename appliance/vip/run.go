package vip

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"islet/appliance/arp"
	"islet/appliance/atomicfile"
	"islet/appliance/cgroup"
	"islet/appliance/component"
)

const (
	interval     = time.Second
	lookInterval = 3 * time.Second // each second while something is odd
	killTimeout  = 5 * time.Second
	stopTimeout  = 2 * time.Second
)

// ErrStuck ends a keepalived that keeps an address which it was told to give up, as one that is stopped or hangs does.
var ErrStuck = errors.New("keepalived does not give the address up")

// Unit returns keepalived's unit. It waits for nothing: a server may have an address once Serves says so.
func (k *Keeper) Unit() component.Unit {
	return component.Unit{New: func() component.Component {
		pids := k.pidFiles()
		spec := k.Child(Name, "--dont-fork", "--dont-respawn", "--log-console", "--no-syslog",
			"--use-file="+k.configFile(), "--pid="+pids[0], "--vrrp_pid="+pids[1])
		group := spec.Cgroup
		spec.Prepare = func(ctx context.Context) error { return k.prepare(ctx, group) }
		spec.StopTimeout = stopTimeout
		return &run{component.NewProcess(spec), k}
	}}
}

// run is one run of keepalived.
type run struct {
	*component.Process
	keeper *Keeper
}

// Run implements component.Component.
func (r *run) Run(ctx context.Context, ready func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var (
		watching sync.WaitGroup
		watched  error
	)
	watching.Go(func() {
		defer stop()
		watched = r.keeper.watch(ctx, r.reload)
	})
	err := r.Process.Run(ctx, ready)
	stop()
	watching.Wait()
	return errors.Join(err, watched)
}

// reload makes keepalived read its configuration again; it holds on to what it has.
func (r *run) reload() error {
	if pid := r.PID(); pid != 0 {
		return syscall.Kill(pid, syscall.SIGHUP)
	}
	return nil // not started yet: it will read it
}

// prepare ends what is left of another run, takes the addresses off the machine, and forbids keepalived to have them.
// keepalived takes its addresses off itself unless it is killed, or the machine was too busy for it.
func (k *Keeper) prepare(ctx context.Context, group *cgroup.Group) error {
	if group != nil {
		ctx, cancel := context.WithTimeout(ctx, killTimeout)
		defer cancel()
		if err := group.Kill(ctx, nil); err != nil {
			return fmt.Errorf("end the keepalived of before: %w", err)
		}
	}
	if err := os.MkdirAll(k.Layout.VIP(), 0o700); err != nil {
		return err
	}
	for _, file := range k.pidFiles() { // the number may be another program's by now
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	var addresses []netip.Addr
	for _, a := range k.Addresses {
		if err := k.permit(a.Purpose, false); err != nil {
			return err
		}
		addresses = append(addresses, a.IP)
	}
	if err := k.Link.Release(addresses); err != nil {
		return err
	}
	return k.writeConfig(k.peers())
}

func (k *Keeper) writeConfig(peers []netip.Addr) error {
	content, err := k.config(peers)
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(k.configFile(), content, 0o600)
}

// permit tells keepalived whether this server may have the address.
func (k *Keeper) permit(p Purpose, may bool) error {
	content := "0\n"
	if may {
		content = "1\n"
	}
	return atomicfile.WriteIfChanged(k.trackFile(p), []byte(content), 0o600)
}

// watch looks after the addresses until ctx ends. It returns an error when keepalived has to be started anew.
func (k *Keeper) watch(ctx context.Context, reload func() error) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	var (
		records = make([]record, len(k.Addresses))
		peers   = k.peers()
		looked  time.Time
		blind   bool
	)
	for i := range records {
		records[i].strikes = maxStrikes // until it has served once
	}
	for {
		if now := k.peers(); !slices.Equal(now, peers) {
			peers = now
			if err := errors.Join(k.writeConfig(peers), reload()); err != nil {
				return fmt.Errorf("tell keepalived of the other servers: %w", err)
			}
			k.Log.Info("the other servers have changed", "servers", peers)
			for i := range records {
				records[i].yielded = time.Time{} // that may be why they did not hear each other
			}
		}
		k.ask(ctx, records)
		if time.Since(looked) >= lookInterval || slices.ContainsFunc(records, func(r record) bool { return r.odd() }) {
			looked = time.Now()
			err := k.look(ctx, records, peers)
			if err != nil && !blind {
				k.Log.Warn("the link cannot be asked for the virtual addresses", "interface", k.Interface, "error", err)
			}
			blind = err != nil
		}
		if ctx.Err() != nil {
			return nil
		}
		if err := k.decide(records); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// ask calls Serves of all addresses at once.
func (k *Keeper) ask(ctx context.Context, records []record) {
	ctx, cancel := context.WithTimeout(ctx, interval)
	defer cancel()
	var asking sync.WaitGroup
	for i, a := range k.Addresses {
		asking.Go(func() { records[i].served(a.Serves(ctx)) })
	}
	asking.Wait()
}

// look asks the link who has the addresses.
func (k *Keeper) look(ctx context.Context, records []record, peers []netip.Addr) error {
	var addresses []netip.Addr
	for _, a := range k.Addresses {
		addresses = append(addresses, a.IP)
	}
	held, err := k.Link.Has(addresses)
	var answers arp.Answers
	if err == nil {
		answers, err = k.Link.Probe(ctx, append(addresses, peers...))
	}
	for i, a := range k.Addresses {
		r := &records[i]
		switch {
		case ctx.Err() != nil:
		case err != nil:
			r.last.held, r.blind = held[a.IP], err
		default:
			r.see(look{held[a.IP], identify(answers, a.IP, peers)}, k.IP, time.Now())
		}
	}
	return err
}

// decide tells keepalived and the readers of Snapshot what follows.
func (k *Keeper) decide(records []record) error {
	before := k.Snapshot()
	for i, a := range k.Addresses {
		r := &records[i]
		s := r.status(a, k.IP)
		if s.State != before[i].State || s.Holder != before[i].Holder || s.Reason != before[i].Reason {
			k.Log.Info("virtual address", "address", a.IP, "for", a.Purpose, "state", s.State, "holder", s.Holder, "reason", s.Reason)
		}
		k.set(i, s)
		if r.stuck >= stuckLooks {
			return fmt.Errorf("%w: %s, %s", ErrStuck, a.IP, s.Reason)
		}
		if err := k.permit(a.Purpose, r.reason() == ""); err != nil {
			return err
		}
	}
	return nil
}
