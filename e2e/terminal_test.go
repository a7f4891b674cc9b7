package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hinshun/vt10x"

	"islet/appliance/lab"
)

// console is a person at a terminal of a host, on which one program runs.
type console struct {
	t      *testing.T
	screen vt10x.Terminal
	in     *typist
	done   chan error

	mu  sync.Mutex
	raw bytes.Buffer // everything that the program has written
}

// typist is what is typed and not read yet. The terminal's own answers are, too.
type typist struct {
	queue chan []byte
	rest  []byte
}

func (i *typist) Write(p []byte) (int, error) {
	i.queue <- bytes.Clone(p)
	return len(p), nil
}

func (i *typist) Read(p []byte) (int, error) {
	if len(i.rest) == 0 {
		next, open := <-i.queue
		if !open {
			return 0, io.EOF
		}
		i.rest = next
	}
	n := copy(p, i.rest)
	i.rest = i.rest[n:]
	return n, nil
}

// sit runs a program of a host on a terminal of 80 by 24. The kernel is told that size, or none, as on a serial line.
func sit(t *testing.T, host *lab.Host, told bool, env []string, args ...string) *console {
	t.Helper()
	c := &console{t: t, in: &typist{queue: make(chan []byte, 1000)}, done: make(chan error, 1)}
	c.screen = vt10x.New(vt10x.WithSize(80, 24), vt10x.WithWriter(c.in))
	command := lab.Command{Args: args, Env: env, TTY: true, Stdin: c.in, Stdout: c}
	if told {
		command.Size = lab.TTYSize{Rows: 24, Cols: 80}
	}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	go func() { c.done <- host.Exec(ctx, command) }()
	return c
}

// Write implements io.Writer.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	c.raw.Write(p)
	c.mu.Unlock()
	return c.screen.Write(p)
}

func (c *console) written() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.raw.Bytes())
}

// see waits until the screen shows all of these.
func (c *console) see(limit time.Duration, texts ...string) {
	c.t.Helper()
	begun := time.Now()
	await(c.t, limit, "the screen shows "+strings.Join(texts, ", "), func(context.Context) error {
		shown := c.screen.String()
		for _, text := range texts {
			if !strings.Contains(shown, text) {
				return fmt.Errorf("it shows\n%s", shown)
			}
		}
		return nil
	})
	c.t.Logf("after %s:\n%s", time.Since(begun).Round(10*time.Millisecond), strings.TrimRight(c.screen.String(), " \n"))
}

func (c *console) press(keys string) { _, _ = c.in.Write([]byte(keys)) }

// leave waits for the program to end well.
func (c *console) leave() {
	c.t.Helper()
	select {
	case err := <-c.done:
		if err != nil {
			c.t.Errorf("the program ended with %v", err)
		}
	case <-time.After(10 * time.Second):
		c.t.Error("the program does not end")
	}
}
