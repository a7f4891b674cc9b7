// Package install sets a machine up as a node: the program, its configuration and its service. It is
// a plan of few steps, each of which does nothing where it finds done what it would do.
package install

import (
	"context"
	"errors"
	"fmt"
	"time"

	"islet/appliance/host"
	"islet/appliance/reset"
	"islet/bundle"
	"islet/systemd"
)

// ErrDiffers is returned when another configuration is installed, and replacing it was not asked for.
var ErrDiffers = errors.New("another configuration is installed")

// Kind is what a step is about.
type Kind string

// The kinds of steps, in their order.
const (
	KindClock      Kind = "clock"
	KindJournal    Kind = "journal"
	KindExecutable Kind = "executable"
	KindIdentity   Kind = "identity"
	KindBundle     Kind = "bundle"
	KindRestore    Kind = "restore"
	KindConfig     Kind = "config"
	KindUnit       Kind = "unit"
	KindService    Kind = "service"
)

// Step is one thing that an installation does.
type Step struct {
	Kind   Kind   `json:"kind"`
	Object string `json:"object"`
	Detail string `json:"detail"`
	Done   bool   `json:"done"` // already: nothing will change
	do     func(context.Context) error
}

// Options are what to install, and where.
type Options struct {
	// Source is the program to install, with its bundle inside; OpenBundle opens a copy of it and
	// insists on a trusted signature.
	Source     string
	OpenBundle func(path string) (*bundle.Reader, error)
	// Config is the content of the answer file. ConfigPath is where it goes.
	Config     []byte
	ConfigPath string
	Force      bool // replace another configuration; the old one is kept beside it
	Start      bool
	// Shift is by how much the machine's clock is set on, or back; 0 leaves it alone.
	Shift time.Duration
	// Site lets the machine into a site that is there already; nil for the first node of a site.
	Site *Site
	// Fetch makes Source of what the site has, for a machine whose file is not whole; nil where Source is there.
	Fetch *Fetch
	// Restore puts back what a site had on the machine that this one takes the place of; nil for a new beginning.
	Restore  *Restore
	Target   reset.Target
	Version  string
	Progress bundle.Progress // of the copy; may be nil
	Machine  Machine
}

// Site is what a machine joins.
type Site struct {
	Name string
	// Enter gets the node's certificates. It is called once everything is in place that does not need them, and may be
	// called again after a failure.
	Enter func(context.Context) error
	Done  bool // by a run before this one
}

// Fetch is how a machine that was let in gets the file that it is to run.
type Fetch struct {
	Detail string
	// Do may be called again after a failure.
	Do func(context.Context) error
}

// Restore is what is put back.
type Restore struct {
	Site, Detail string
	Done         bool // by a run before this one
	// Place may be called again after a failure.
	Place func(context.Context) error
}

// Machine is where things go. Tests have one of their own.
type Machine struct {
	Executable, Unit, Link string
	// Root is put before the paths of the other units; ConsoleLink is there when the console's screen is enabled.
	Root, ConsoleLink string
	// Systemd says whether systemd runs here. Control is systemctl; Active asks whether the service runs.
	Systemd bool
	Control func(ctx context.Context, args ...string) error
	// ShiftClock sets the clock.
	ShiftClock func(time.Duration) error
	Active     func(ctx context.Context) bool
}

// ThisMachine is the real one.
func ThisMachine() Machine {
	return Machine{
		Executable: systemd.Executable, Unit: systemd.UnitPath, Link: systemd.LinkPath, ConsoleLink: systemd.ConsoleLink,
		Systemd: systemd.Running(), Control: systemd.Control, Active: systemd.Active, ShiftClock: host.ShiftClock,
	}
}

// NewPlan compares what is wanted with what is there. It changes nothing.
func NewPlan(ctx context.Context, o Options) ([]Step, error) {
	var p planner
	p.options = o
	order := []func(context.Context) error{p.clock, p.journal, p.executable, p.identity, p.restore, p.config, p.unit, p.service}
	if o.Fetch != nil { // which only a node may
		order = []func(context.Context) error{p.journal, p.identity, p.fetch, p.fetched, p.config, p.unit, p.service}
	}
	for _, plan := range order {
		if err := plan(ctx); err != nil {
			return nil, err
		}
	}
	return p.steps, nil
}

// Run does the steps in order and tells report of each. The first that fails ends it; running the
// installation again goes on there.
func Run(ctx context.Context, steps []Step, report func(Step, error)) error {
	for _, s := range steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		if !s.Done {
			err = s.do(ctx)
		}
		report(s, err)
		if err != nil {
			return fmt.Errorf("install %s %s: %w", s.Kind, s.Object, err)
		}
	}
	return nil
}

type planner struct {
	options Options
	steps   []Step
}

func (p *planner) add(kind Kind, object, detail string, done bool, do func(context.Context) error) {
	p.steps = append(p.steps, Step{Kind: kind, Object: object, Detail: detail, Done: done, do: do})
}

// changes says whether a step of that kind will do something.
func (p *planner) changes(kind Kind) bool {
	for _, s := range p.steps {
		if s.Kind == kind && !s.Done {
			return true
		}
	}
	return false
}

// clock comes before everything that has a date.
func (p *planner) clock(context.Context) error {
	if shift := p.options.Shift; shift != 0 {
		to := time.Now().Add(shift).UTC().Format("2006-01-02 15:04")
		p.add(KindClock, "to "+to+" UTC", "set this machine's clock, and that of its board", false, func(context.Context) error {
			return p.options.Machine.ShiftClock(shift)
		})
	}
	return nil
}

// journal comes before all that reset takes back: reset removes what was not here before this step.
func (p *planner) journal(context.Context) error {
	o := p.options
	_, err := reset.ReadJournal(o.Target.Layout)
	p.add(KindJournal, o.Target.Layout.Journal(), "record what is on this machine, for `appliance reset`", err == nil, func(context.Context) error {
		return reset.Record(o.Target, o.Version)
	})
	return nil
}

// identity is the one step that another machine takes part in. The answer file comes after it: a machine without one is
// not set up, and its next try starts here.
func (p *planner) identity(context.Context) error {
	if site := p.options.Site; site != nil {
		p.add(KindIdentity, "site "+site.Name, "be let in, and keep the certificates and the list of servers", site.Done, site.Enter)
	}
	return nil
}

// restore comes before the answer file for the same reason.
func (p *planner) fetch(context.Context) error {
	p.add(KindBundle, p.options.Source, p.options.Fetch.Detail, false, p.options.Fetch.Do)
	return nil
}

func (p *planner) restore(context.Context) error {
	if r := p.options.Restore; r != nil {
		p.add(KindRestore, "site "+r.Site, r.Detail, r.Done, r.Place)
	}
	return nil
}
