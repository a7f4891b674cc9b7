package images

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// progress prints what the build does, one line each, with the time since the start. It is a slog.Handler, so that the
// build code logs like all other code.
type progress struct {
	out     io.Writer
	mu      *sync.Mutex
	started time.Time
	prefix  string
}

func newProgress(out io.Writer) slog.Handler {
	return progress{out: out, mu: &sync.Mutex{}, started: time.Now()}
}

// Enabled implements slog.Handler.
func (p progress) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (p progress) Handle(_ context.Context, r slog.Record) error {
	var line strings.Builder
	fmt.Fprintf(&line, "%7.1fs %s%s", r.Time.Sub(p.started).Seconds(), p.prefix, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		line.WriteString(attribute(a))
		return true
	})
	line.WriteByte('\n')
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, line.String())
	return err
}

func attribute(a slog.Attr) string {
	if a.Value.Kind() == slog.KindDuration {
		return fmt.Sprintf(" %s=%.1fs", a.Key, a.Value.Duration().Seconds())
	}
	if a.Key == "version" {
		return " " + a.Value.String()
	}
	return fmt.Sprintf(" %s=%s", a.Key, a.Value)
}

// WithAttrs implements slog.Handler: kind and name of a component go in front.
func (p progress) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		p.prefix += a.Value.String() + " "
	}
	return p
}

// WithGroup implements slog.Handler; groups are not used here.
func (p progress) WithGroup(string) slog.Handler { return p }
