package install

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/setup"
	"islet/appliance/wizard"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// What fails is shown until it is acknowledged; the answers are there to be corrected, and the next try gets them.
func TestFailureLeadsBack(t *testing.T) {
	t.Parallel()
	var orders []wizard.Order
	e := engine()
	e.Do = func(_ context.Context, o wizard.Order, _ setup.Driver) error {
		if orders = append(orders, o); len(orders) < 3 {
			return errors.New("no space left on device")
		}
		return nil
	}
	p := &person{t: t}
	p.sit("ascii", e)
	p.press(strings.Fields(strings.Repeat("enter ", 14))...)
	p.await("no space left on device", "free space there", "Exit code: 11", "journalctl")
	p.press("enter", "x", "?")
	p.await("Keys")
	p.press("enter")
	p.await("no space left on device")
	p.press("r")
	p.awaitTries(&orders, 2)
	p.await("no space left on device")
	p.press("b")
	p.await("Step 8 of 8")
	p.press("esc", "esc", "ctrl+g", "2", "p", "enter", "ctrl+g", "8", "enter", "enter")
	p.await("The node is ready")
	if len(orders) != 3 || !strings.Contains(string(orders[2].Answers), "name: p") || strings.Contains(string(orders[1].Answers), "name") {
		t.Errorf("%+v", orders)
	}
}

// A screen that goes away ends what it has begun, and waits for that.
func TestCloseEndsIt(t *testing.T) {
	t.Parallel()
	e, ended := engine(), false
	e.Do = func(ctx context.Context, _ wizard.Order, d setup.Driver) error {
		d.Tell(setup.Working)
		err := d.Ask(ctx, setup.Key{Secret: "AGE-SECRET-KEY-1"})
		ended = true
		return err
	}
	e.Order = &wizard.Order{}
	p := &person{t: t}
	p.sit("ascii", e)
	p.await("AGE-SECRET-KEY-1")
	if out := p.flow.Close(); !ended || !out.Began || !errors.Is(out.Err, context.Canceled) {
		t.Errorf("%+v, ended %t", out, ended)
	}
}

// sit puts a person in front of an engine's screens.
func (p *person) sit(profile string, e Engine) {
	p.t.Helper()
	ctx := tuitest.Context(tuitest.Profiles[profile])
	p.flow = New(ctx, e)
	p.root = screen.New(ctx, p.flow.First())
	p.give(tea.WindowSizeMsg{Width: 80, Height: 24})
	p.carry(p.root.Init())
	p.t.Cleanup(func() { p.flow.Close() })
}

// await waits until the screen says all of these.
func (p *person) await(texts ...string) {
	p.t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if p.flow.session != nil {
			p.give(newsMsg{p.flow.session})
		}
		missing := ""
		for _, text := range texts {
			if !strings.Contains(p.root.Render(), text) {
				missing = text
			}
		}
		if missing == "" {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("no %q on\n%s", missing, p.root.Render())
		}
	}
}

func (p *person) awaitTries(orders *[]wizard.Order, n int) {
	p.t.Helper()
	<-p.flow.session.done
	if len(*orders) != n {
		p.t.Fatalf("%d tries, want %d", len(*orders), n)
	}
}
