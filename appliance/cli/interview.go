package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/setup"
	"islet/appliance/wizard"
	"islet/bundle"
	"islet/systemd"
	"islet/tui/dashboard"
	"islet/tui/install"
	"islet/tui/screen"
)

// interview makes a node of this machine after asking a person what it is to be: on screens where the terminal can show them,
// else line by line. What is done then is the same.
type interview struct {
	env   *Env
	begun beginning
	lines func(*Env) setup.Driver
	do    func(context.Context, *Env, wizard.Order, setup.Driver) error
}

func (i interview) run(ctx context.Context, in io.Reader) error {
	carried, err := carriedBy(i.env)
	if err != nil {
		return err
	}
	if sc, in, out, ok := screenOf(i.env); ok {
		return i.onScreen(ctx, carried, sc, in, out)
	}
	p := prompts{in: bufio.NewReader(in), out: i.env.Stdio.Err}
	p.say("", carried.Text().String())
	order, err := i.order(ctx, &p)
	if err != nil {
		return err
	}
	return i.do(ctx, i.env, order, i.lines(i.env))
}

// order asks, unless an earlier run has the answers.
func (i interview) order(ctx context.Context, p *prompts) (wizard.Order, error) {
	if i.begun.order != nil {
		p.say("", "An earlier installation was interrupted; it goes on with the same answers.")
		return *i.begun.order, nil
	}
	w := i.wizard(ctx)
	if err := p.ask(ctx, w); err != nil {
		return wizard.Order{}, err
	}
	o, err := w.Order()
	if err == nil && !o.Join {
		fmt.Fprintf(p.out, "\nThe answer file:\n\n%s\n", o.Answers)
	}
	return o, err
}

// look gathers what can be. What could not be read is left out: the checks tell of it.
func (i interview) look(ctx context.Context) host.Facts {
	ctx, cancel := context.WithTimeout(ctx, preflightDeadline)
	defer cancel()
	facts, _ := host.Gather(ctx)
	facts.Volumes, _ = host.Volumes(ctx, layout.Default().StateDir)
	return facts
}

func (i interview) wizard(ctx context.Context) *wizard.Wizard {
	w := wizard.New(i.look(ctx))
	for _, a := range i.begun.given {
		if a[1] != "" {
			_ = w.Answer(a[0], a[1]) // what is no answer is asked for
		}
	}
	return w
}

// carriedBy says what this file is, and who vouches for it. The bare executable carries nothing, and can join only.
func carriedBy(env *Env) (install.Trust, error) {
	b, err := env.OpenBundle("")
	if errors.Is(err, bundle.ErrForeign) || errors.Is(err, bundle.ErrTruncated) {
		return install.Trust{Version: env.Build.Version}, nil
	}
	if err != nil {
		return install.Trust{}, err
	}
	s := summarize(b)
	return install.Trust{Name: s.Name, Version: s.Version, Components: len(s.Components), Signed: s.signature()}, b.Close()
}

// onScreen is the same on screens. What was left without being done is no success, and a failure is told once more where it
// stays readable.
func (i interview) onScreen(ctx context.Context, carried install.Trust, sc *screen.Context, in, out *os.File) error {
	var told bytes.Buffer // for when the screens are gone
	flow := install.New(sc, install.Engine{
		Trust: carried, Wizard: i.wizard(ctx), Look: func() host.Facts { return i.look(ctx) }, Order: i.begun.order, Explain: explainFailure, After: afterInstall(sc),
		Do: func(ctx context.Context, o wizard.Order, d setup.Driver) error {
			return i.do(ctx, muted(i.env, d, &told), o, d)
		},
	})
	err := show(ctx, sc, in, out, flow.First(), false)
	outcome := flow.Close()
	switch {
	case err != nil:
		return err
	case outcome.Began && outcome.Err == nil:
		_, err := told.WriteTo(i.env.Stdio.Out)
		return err
	case outcome.Err != nil:
		return outcome.Err
	}
	return errNotConfirmed
}

// muted is an environment whose streams do not end up on the screen: results go to out, and what else is said becomes a note.
func muted(env *Env, d setup.Driver, out io.Writer) *Env {
	quiet := *env
	quiet.Stdio = Stdio{In: strings.NewReader(""), Out: out, Err: noted{d}}
	return &quiet
}

// noted is a stream whose lines are notes.
type noted struct{ driver setup.Driver }

// Write implements io.Writer.
func (n noted) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		if line = strings.TrimSpace(line); line != "" {
			n.driver.Tell(setup.Note(line))
		}
	}
	return len(p), nil
}

// explainFailure is what printError prints, in parts.
func explainFailure(err error) install.Failure {
	f := install.Failure{Message: err.Error(), Advice: collectAdvice(err, nil), Code: int(CodeOf(err))}
	if systemd.Running() {
		f.Log = "journalctl -u appliance"
	}
	return f
}

// afterInstall shows a node that has just become one: its dashboard.
func afterInstall(sc *screen.Context) tea.Cmd {
	sc.Enter = enterTyped
	return func() tea.Msg {
		source, err := lookThrough()
		if err != nil {
			return screen.Replace(screen.NewNotice(sc, "The node is ready", err.Error()))()
		}
		return screen.Replace(dashboard.New(sc, sight{source}))()
	}
}
