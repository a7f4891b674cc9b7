// Package progress shows how far a long operation is: on a terminal as one line that is rewritten, elsewhere as plain
// lines at intervals.
package progress

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// How often a line is shown. A log that nobody watches gets few.
const (
	terminalInterval = 200 * time.Millisecond
	plainInterval    = 5 * time.Second
)

// Reporter makes the tasks of one command. Its Err stream is usually standard error, so that results stay clean.
type Reporter struct {
	out      io.Writer
	terminal bool
	width    func() int
	now      func() time.Time
}

// New returns a Reporter that writes to out; if out is a terminal, it rewrites one line. A nil out reports nothing.
func New(out io.Writer) *Reporter {
	r := &Reporter{out: out, now: time.Now, width: func() int { return 80 }}
	if file, ok := out.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		r.terminal = true
		r.width = func() int {
			// A serial console reports 0 columns.
			if columns, _, err := term.GetSize(int(file.Fd())); err == nil && columns > 0 {
				return columns
			}
			return 80
		}
	}
	return r
}

// Task is one operation with a known or unknown number of bytes. Its methods may be called from several goroutines.
type Task struct {
	reporter *Reporter
	title    string

	mu    sync.Mutex
	begun time.Time
	shown time.Time
	done  int64
	total int64
}

// Start begins a task. total is in bytes, 0 if unknown. A task that ends within one interval shows its last line only.
func (r *Reporter) Start(title string, total int64) *Task {
	now := r.now()
	return &Task{reporter: r, title: title, begun: now, shown: now, total: total}
}

// Add reports n more bytes.
func (t *Task) Add(n int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done += n
	t.show()
}

// Set reports the bytes done so far and the total, as operations do that count for themselves.
func (t *Task) Set(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.total = done, total
	t.show()
}

// Done ends the task: with a last line that gives the whole amount and rate, or, if err is not nil, with how far it came.
// The error itself is the caller's to report.
func (t *Task) Done(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	took := t.reporter.now().Sub(t.begun)
	outcome := "done"
	if err != nil {
		outcome = "stopped"
	}
	t.line(fmt.Sprintf("%s: %s, %s in %s%s", t.title, outcome, Bytes(t.done), round(took), rate(t.done, took)))
	if t.reporter.terminal && t.reporter.out != nil {
		fmt.Fprintln(t.reporter.out)
	}
}

// show draws the state if it is time to.
func (t *Task) show() {
	interval := plainInterval
	if t.reporter.terminal {
		interval = terminalInterval
	}
	now := t.reporter.now()
	if now.Sub(t.shown) < interval {
		return
	}
	t.shown = now
	took := now.Sub(t.begun)
	if t.total <= 0 {
		t.line(fmt.Sprintf("%s: %s%s", t.title, Bytes(t.done), rate(t.done, took)))
		return
	}
	text := fmt.Sprintf("%s: %3d%% of %s%s", t.title, percent(t.done, t.total), Bytes(t.total), rate(t.done, took))
	if t.done > 0 && t.done < t.total {
		left := time.Duration(float64(took) * float64(t.total-t.done) / float64(t.done))
		text += ", " + round(left).String() + " left"
	}
	t.line(text)
}

func (t *Task) line(text string) {
	if t.reporter.out == nil {
		return
	}
	if !t.reporter.terminal {
		fmt.Fprintln(t.reporter.out, text)
		return
	}
	// The last column stays free: some terminals wrap as soon as it is written.
	if runes := []rune(text); len(runes) > t.reporter.width()-1 {
		text = string(runes[:max(t.reporter.width()-1, 0)])
	}
	fmt.Fprint(t.reporter.out, "\r\x1b[K", text)
}

func percent(done, total int64) int64 {
	if done >= total {
		return 100
	}
	return int64(float64(done) * 100 / float64(total))
}

func rate(done int64, took time.Duration) string {
	if took < 10*time.Millisecond || done <= 0 {
		return ""
	}
	return ", " + Bytes(int64(float64(done)/took.Seconds())) + "/s"
}

func round(d time.Duration) time.Duration {
	if d < 10*time.Second {
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}

// Bytes writes a size with three digits and a binary unit: 512 B, 1.50 KiB, 2.25 GiB.
func Bytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), strings.Split("KiB MiB GiB TiB PiB EiB", " ")
	unit := ""
	for _, unit = range units {
		if value /= 1024; value < 999.5 {
			break
		}
	}
	digits := 2
	if value >= 9.995 {
		digits = 1
	}
	if value >= 99.95 {
		digits = 0
	}
	return fmt.Sprintf("%.*f %s", digits, value, unit)
}
