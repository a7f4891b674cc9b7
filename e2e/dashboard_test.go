package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/hinshun/vt10x"

	"islet/appliance/controlplane"
	"islet/appliance/datastore"
)

// console is a terminal with a command of a host on it, and what stands on its screen.
type console struct {
	terminal *os.File
	screen   vt10x.Terminal
	ended    chan error
}

// openConsole runs a command of the appliance in the host, on a terminal of this size.
func (p *platform) openConsole(t *testing.T, columns, rows int, name string, args ...string) *console {
	t.Helper()
	full := append([]string{"lab", "exec", "--env", "TERM=" + name, "--env", "LANG=C.UTF-8", p.site + "/" + p.host.Name(), "--", "appliance"}, args...)
	cmd := exec.CommandContext(t.Context(), executable(t), full...)
	cmd.Env = append(os.Environ(), "TERM="+name)
	terminal, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: uint16(rows), Cols: uint16(columns)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	c := &console{terminal: terminal, screen: vt10x.New(vt10x.WithSize(columns, rows), vt10x.WithWriter(terminal)), ended: make(chan error, 1)}
	go func() { _, _ = io.Copy(c.screen, terminal) }()
	go func() { c.ended <- cmd.Wait() }()
	return c
}

func (c *console) press(t *testing.T, keys string) {
	t.Helper()
	if _, err := c.terminal.WriteString(keys); err != nil {
		t.Fatal(err)
	}
}

// awaitText waits until all texts stand on the screen.
func (c *console) awaitText(t *testing.T, limit time.Duration, texts ...string) time.Duration {
	t.Helper()
	return await(t, limit, "on the screen: "+strings.Join(texts, ", "), func(context.Context) error {
		drawn := c.screen.String()
		for _, text := range texts {
			if !strings.Contains(drawn, text) {
				return fmt.Errorf("%q is not on it:\n%s", text, drawn)
			}
		}
		return nil
	})
}

// awaitNoText waits until a text is gone from the screen.
func (c *console) awaitNoText(t *testing.T, limit time.Duration, text string) {
	t.Helper()
	await(t, limit, "gone from the screen: "+text, func(context.Context) error {
		if drawn := c.screen.String(); strings.Contains(drawn, text) {
			return errors.New(drawn)
		}
		return nil
	})
}

// screenLimit is how long the dashboard may take to show what it can know.
const screenLimit = 30 * time.Second

// One after the other the API server, the datastore and the daemon end below the dashboard. It stays usable, says what is
// wrong, and recovers by itself.
func TestDashboard(t *testing.T) {
	t.Parallel()
	p := boot(t, "dashboard")
	await(t, readyLimit, "readiness", p.ready)
	c := p.openConsole(t, 80, 24, "linux") // the appliance alone
	c.awaitText(t, screenLimit, "Nothing is wrong.", "node1", p.site)
	small := p.openConsole(t, 60, 20, "vt220", "dashboard")
	small.awaitText(t, screenLimit, "+ Nothing is wrong.")

	t.Run("kube-apiserver", func(t *testing.T) { p.losesComponent(t, c, controlplane.APIServerName) })
	c.press(t, "4")
	c.awaitText(t, screenLimit, "coredns")
	t.Run("kine", func(t *testing.T) { p.losesComponent(t, c, datastore.KineName) })

	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.press(t, "1")
	c.awaitText(t, screenLimit, "The node daemon does not answer since", "systemctl start appliance", "old.")
	small.awaitText(t, screenLimit, "does not answer since")
	c.press(t, "3")
	c.awaitText(t, screenLimit, "kubelet") // what was known
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.awaitNoText(t, readyLimit, "does not answer")
	c.press(t, "1")
	c.awaitText(t, readyLimit, "Nothing is wrong.")
	small.awaitText(t, readyLimit, "+ Nothing is wrong.")

	c.press(t, "q")
	await(t, screenLimit, "q leaves", func(context.Context) error {
		select {
		case err := <-c.ended:
			return err
		default:
			return errors.New("the dashboard goes on")
		}
	})
}

// losesComponent kills a component until it is a problem, which the dashboard must show while it is usable, and lets it come
// back.
func (p *platform) losesComponent(t *testing.T, c *console, name string) {
	t.Helper()
	c.press(t, "1")
	await(t, readyLimit, name+" is a problem", func(ctx context.Context) error {
		part, err := p.component(ctx, name)
		if err != nil {
			return err
		}
		if part.PID > 0 {
			p.run(t, "sh", "-c", fmt.Sprintf("kill -KILL %d || true", part.PID))
		}
		if !strings.Contains(c.screen.String(), name+" keeps stopping") {
			return errors.New(c.screen.String())
		}
		return nil
	})
	c.press(t, "3")
	c.awaitText(t, screenLimit, "RESTARTS", name)
	c.press(t, "l")
	c.awaitText(t, screenLimit, "Log of")
	c.press(t, "q1")
	c.awaitText(t, 2*readyLimit, "Nothing is wrong.")
}
