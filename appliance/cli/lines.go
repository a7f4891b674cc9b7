package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"islet/appliance/install"
	"islet/appliance/join"
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
	// setsClock is the answer to whether the clock is to be set.
	setsClock bool

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
	case setup.Skew:
		return l.skew(ctx, q)
	case setup.Wait:
		return l.decline(q.Unmanaged)
	case setup.Key:
		if l.format != FormatText {
			return nil // it is part of the report
		}
		return l.reveal(ctx, q)
	}
	return nil
}

// reveal shows the recovery key. A person who was asked before is asked to say that it is written down.
func (l *lines) reveal(ctx context.Context, k setup.Key) error {
	if _, err := fmt.Fprintf(l.env.Stdio.Out, "\n"+keyWarning+"%s\n", k.Site, k.Recipient, k.Secret); err != nil {
		return err
	}
	in, person := terminal(l.env)
	if !person || l.yes || !l.confirms {
		return nil
	}
	return confirmSaved(func() (string, error) {
		fmt.Fprint(l.env.Stdio.Err, "\nType "+savedWord+" when it is written down: ")
		return readLine(ctx, in)
	})
}

// savedWord says that the key is written down, on screens, too.
const savedWord = "saved"

// confirmSaved asks until the word is there.
func confirmSaved(ask func() (string, error)) error {
	for {
		if answer, err := ask(); err != nil || answer == savedWord {
			return err
		}
	}
}

// skew asks whether the clock is to be set, where there is somebody to ask.
func (l *lines) skew(ctx context.Context, q setup.Skew) error {
	in, person := terminal(l.env)
	switch {
	case l.setsClock:
		return nil
	case !person || l.format != FormatText:
		return setup.ErrDecline
	}
	answer, err := ask(ctx, l.env, in, "The clock of this machine is "+join.Behind(q.Ahead)+". Set it to the site's? [y/N] ")
	if answer = strings.ToLower(answer); err == nil && answer != "y" && answer != "yes" {
		err = setup.ErrDecline
	}
	return err
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
