package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"islet/appliance/install"
	"islet/appliance/preflight"
	"islet/appliance/progress"
	"islet/appliance/setup"
)

// lines drives a setup line by line: results go to standard output, all else to standard error, and what must be answered is
// asked on the terminal, or is in the flags.
type lines struct {
	env      *Env
	format   Format
	confirms bool // the plan
	yes      bool // it was confirmed already
	advice   string

	what string // of the task
	task *progress.Task
	node *watcher
}

// Tell implements setup.Driver.
func (l *lines) Tell(e setup.Event) {
	switch e := e.(type) {
	case setup.Note:
		fmt.Fprintln(l.env.Stdio.Err, string(e))
	case setup.Progress:
		if l.task == nil || l.what != e.What {
			l.what, l.task = e.What, progress.New(l.env.Stdio.Err).Start(e.What, e.Total)
		}
		l.task.Set(e.Done, e.Total)
	case setup.Ended:
		l.ended(e)
	case setup.Approval:
		fmt.Fprintf(l.env.Stdio.Err, "Somebody has to approve of this machine. On a server: appliance node approve %s\n"+
			"It must show the same words there: %s\n", e.Node, e.Words)
	case setup.Status:
		if l.node == nil {
			l.node = newWatcher(l.env.Stdio.Err)
		}
		l.node.tell(e.Node, e.Err)
	case setup.Started:
		if l.node != nil {
			l.node.end()
		}
	}
}

func (l *lines) ended(e setup.Ended) {
	if l.task != nil {
		l.task.Done(e.Err)
		l.task = nil
	}
	if e.Err == nil && l.format == FormatText {
		printInstallStep(l.env.Stdio.Out, e.Step)
	}
}

// Ask implements setup.Driver.
func (l *lines) Ask(ctx context.Context, q setup.Question) error {
	switch q := q.(type) {
	case setup.Checked:
		return l.checked(q.Report)
	case setup.Plan:
		return l.confirm(ctx, q.Steps)
	case setup.Wait:
		return l.decline(q.Unmanaged)
	case setup.Key:
		if l.format != FormatText {
			return nil // it is part of the report
		}
		_, err := fmt.Fprintf(l.env.Stdio.Out, "\n"+keyWarning+"%s\n", q.Site, q.Recipient, q.Secret)
		return err
	}
	return nil
}

// checked shows everything where something failed, else what is worth knowing.
func (l *lines) checked(report preflight.Report) error {
	if report.Status == preflight.Failed {
		return printPreflight(l.env.Stdio.Err, report)
	}
	for _, r := range report.Results {
		if r.Status == preflight.Warned {
			fmt.Fprintf(l.env.Stdio.Err, "warning: %s: %s: %s\n", r.Title, r.Found, r.Advice)
		}
	}
	return nil
}

// decline says how to start the node. Nobody is kept waiting for it.
func (l *lines) decline(start setup.Unmanaged) error {
	switch {
	case l.format != FormatText:
	case start.Systemd:
		fmt.Fprintln(l.env.Stdio.Out, "Start it with: systemctl start appliance")
	default:
		fmt.Fprintf(l.env.Stdio.Out, "systemd does not run here. Let your service manager run, and restart, as root:\n  %s server\n", start.Program)
	}
	return setup.ErrDecline
}

// confirm asks once, if there is anything to do. Without a terminal it gives the advice.
func (l *lines) confirm(ctx context.Context, steps []install.Step) error {
	if !l.confirms || l.yes || !slices.ContainsFunc(steps, func(s install.Step) bool { return !s.Done }) {
		return nil
	}
	in, ok := terminal(l.env)
	if !ok {
		return Exit(CodeUsage, Advise(errors.New("this changes the machine, and there is no terminal to ask on"), l.advice))
	}
	fmt.Fprint(l.env.Stdio.Err, "What will be done:\n\n")
	if err := printInstallPlan(l.env.Stdio.Err, steps); err != nil {
		return err
	}
	answer, err := ask(ctx, l.env, in, "\nGo on? [y/N] ")
	if err != nil {
		return err
	}
	if answer = strings.ToLower(answer); answer != "y" && answer != "yes" {
		return errNotConfirmed
	}
	return nil
}

var errNotConfirmed = Exit(CodeUsage, errors.New("not confirmed: nothing was done"))

func printInstallPlan(w io.Writer, steps []install.Step) error {
	for _, s := range steps {
		printInstallStep(w, s)
	}
	return nil
}

func printInstallStep(w io.Writer, s install.Step) {
	if s.Done {
		fmt.Fprintf(w, "%-10s  %s: unchanged\n", s.Kind, s.Object)
		return
	}
	fmt.Fprintf(w, "%-10s  %s: %s\n", s.Kind, s.Object, s.Detail)
}
