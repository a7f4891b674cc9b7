package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/lab"
	"islet/appliance/layout"
)

// options are the flags.
type options struct {
	appliance string        // the built one file
	runs      int           // of what is repeated
	settle    time.Duration // before memory is read
	idle      time.Duration // over which processor time is averaged
	record    string        // file to append the table to; empty for none
	only      string        // the one measurement that is taken; empty for all
	lab       string        // the name of the lab
}

// bench is a run in progress.
type bench struct {
	options
	out    io.Writer
	hosts  *lab.Lab
	host   *lab.Host
	client *api.Client
	table  table
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.appliance, "appliance", os.Getenv("APPLIANCE"), "the built `file` (default $APPLIANCE)")
	flags.IntVar(&o.runs, "runs", 5, "`runs` of each warm start")
	flags.DurationVar(&o.settle, "settle", time.Minute, "`time` of quiet before memory is read")
	flags.DurationVar(&o.idle, "idle", 5*time.Minute, "`time` over which idle processor use is averaged")
	flags.StringVar(&o.record, "record", "", "`file` to append the table to")
	flags.StringVar(&o.only, "only", "", "take this `measurement` alone: "+strings.Join(names(), ", "))
	flags.StringVar(&o.lab, "lab", "bench", "`name` of the lab")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.only != "" && !slices.Contains(names(), o.only) {
		return fmt.Errorf("-only %s: there are %s", o.only, strings.Join(names(), ", "))
	}
	if o.appliance == "" {
		return errors.New("which file? set APPLIANCE or give -appliance; `make bench` does")
	}
	b := &bench{options: o, out: out}
	layout := lab.DefaultLayout()
	if err := layout.Down(ctx, o.lab); err != nil && !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	defer func() {
		if b.hosts != nil {
			err = errors.Join(err, b.hosts.Down(context.WithoutCancel(ctx)))
		}
	}()
	for _, m := range measurements() {
		if o.only != "" && o.only != m.name && (m.name != "boot" || !needsHost(o.only)) {
			continue
		}
		if err := m.take(b, ctx); err != nil {
			return err
		}
	}
	if err := b.table.write(out); err != nil || o.record == "" {
		return err
	}
	return b.table.appendTo(o.record)
}

// measurement is a part of a run.
type measurement struct {
	name string
	take func(*bench, context.Context) error
	host bool // looks at the host that boot has started
}

func measurements() []measurement {
	return []measurement{
		{"files", (*bench).files, false}, {"boot", (*bench).firstBoot, false}, {"idle", (*bench).idleUse, true},
		{"dashboard", (*bench).dashboard, true}, {"warm", (*bench).warmStarts, true}, {"releases", (*bench).releases, true}, {"site", (*bench).site, false}, {"servers", (*bench).servers, false},
	}
}

func names() (all []string) {
	for _, m := range measurements() {
		all = append(all, m.name)
	}
	return all
}

func needsHost(name string) bool {
	return slices.ContainsFunc(measurements(), func(m measurement) bool { return m.name == name && m.host })
}

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.out, "== "+format+"\n", args...)
}

// boot makes the lab. Its first host runs the file as a server; others are bare, and run it once they have joined.
func (b *bench) boot(ctx context.Context, hosts int, answers ...func(*config.Config)) error {
	c := config.Default()
	c.Site.Name = b.lab
	for _, set := range answers {
		set(&c)
	}
	answer, err := config.Marshal(c, false)
	if err != nil {
		return err
	}
	executable, err := filepath.Abs(b.appliance)
	if err != nil {
		return err
	}
	spec := lab.Spec{Name: b.lab, Executable: executable, Subnet: netip.MustParsePrefix("10.77.0.0/24")}
	for i := range hosts {
		spec.Hosts = append(spec.Hosts, lab.HostSpec{Name: fmt.Sprintf("node%d", i+1), Boot: lab.Service{Args: []string{"appliance", "server"}}})
	}
	spec.Hosts[0].Files = map[string]lab.File{layout.Default().Config(): {Data: answer, Mode: 0o600}}
	b.hosts, err = lab.Up(ctx, spec, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	b.host = b.hosts.Hosts()[0]
	b.client = clientOf(b.host)
	return nil
}

func clientOf(host *lab.Host) *api.Client {
	return api.NewClient(host.Path(layout.Default().APISocket()))
}

// poll asks until done says so, every 20 ms.
func poll(ctx context.Context, timeout time.Duration, what string, done func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := done(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w; last: %w", what, ctx.Err(), last)
		case <-tick.C:
		}
	}
}

func (b *bench) allReady(ctx context.Context) error { return ready(ctx, b.client) }

// ready complains while a component of a host is not.
func ready(ctx context.Context, client *api.Client) error {
	status, err := client.Status(ctx)
	if err == nil && !status.Ready {
		err = errors.New("not ready")
	}
	return err
}
