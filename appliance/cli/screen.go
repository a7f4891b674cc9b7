package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"islet/tui/screen"
	"islet/tui/term"
)

// commandLimit ends a command that a screen has started and that does not end by itself.
const commandLimit = 15 * time.Minute

// screenOf says whether the terminal can show screens, and what it can do. A dumb one, and one whose owner has set
// APPLIANCE_PLAIN, gets lines.
func screenOf(env *Env) (*screen.Context, *os.File, *os.File, bool) {
	in, _ := env.Stdio.In.(*os.File)
	out, _ := env.Stdio.Out.(*os.File)
	name := os.Getenv("TERM")
	if !term.IsTerminal(in, out) || os.Getenv(term.EnvPlain) != "" || name == "dumb" || name == "" {
		return nil, nil, nil, false
	}
	ctx := screen.NewContext(term.New(term.Look(out, os.Environ())))
	if os.Geteuid() == 0 {
		ctx.Run = runTyped
	}
	return ctx, in, out, true
}

// show runs screens until they are left, the terminal goes away or ctx ends. Resident screens cannot be left.
func show(ctx context.Context, sc *screen.Context, in, out *os.File, first screen.Page, resident bool) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	width, height, err := term.EnsureSize(in, out)
	if err != nil {
		return err
	}
	root := screen.New(sc, first)
	root.Resident = resident
	root.Resize = func(w, h int) { _ = term.SetSize(out, w, h) }
	options := []tea.ProgramOption{
		tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithFPS(sc.Profile.FPS), tea.WithWindowSize(width, height),
		tea.WithColorProfile(colorsOf(sc.Profile)),
	}
	if sc.Profile.Kind != term.Emulator {
		options = append(options, tea.WithOutput(term.NewFilter(out)))
	}
	_, err = tea.NewProgram(root, options...).Run()
	if sc.Profile.Kind != term.Emulator { // which has no other screen to go back to
		_, _ = out.WriteString("\x1b[H\x1b[J")
	}
	if errors.Is(err, tea.ErrInterrupted) || ctx.Err() != nil {
		return nil
	}
	return err
}

func colorsOf(p term.Profile) colorprofile.Profile {
	switch {
	case p.Colors == 0:
		return colorprofile.ASCII
	case p.Colors <= 16:
		return colorprofile.ANSI
	case p.Colors <= 256:
		return colorprofile.ANSI256
	}
	return colorprofile.TrueColor
}

// runTyped carries out a command of this program as a screen shows it: what runs is what can be typed.
func runTyped(args []string) screen.Result {
	ctx, cancel := context.WithTimeout(context.Background(), commandLimit)
	defer cancel()
	executable, err := os.Executable()
	if err != nil {
		return screen.Result{Err: err, Code: int(CodeUnexpected)}
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, executable, args...)
	cmd.Env = append(os.Environ(), term.EnvPlain+"=1")
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	err = cmd.Run()
	r := screen.Result{Output: out.String(), Err: err}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		r.Code = exit.ExitCode()
	}
	return r
}
