package progress

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func reporter(out *bytes.Buffer, terminal bool, columns int) (*Reporter, *time.Time) {
	now := time.Unix(0, 0)
	return &Reporter{out: out, terminal: terminal, width: func() int { return columns }, now: func() time.Time { return now }}, &now
}

func TestPlainLines(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, now := reporter(&out, false, 80)
	task := r.Start("copy", 100<<20)
	for range 10 {
		*now = now.Add(time.Second)
		task.Add(10 << 20)
	}
	task.Done(nil)
	want := "copy:  50% of 100 MiB, 10.0 MiB/s, 5s left\ncopy: 100% of 100 MiB, 10.0 MiB/s\ncopy: done, 100 MiB in 10s, 10.0 MiB/s\n"
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
}

func TestTerminalLineIsRewritten(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, now := reporter(&out, true, 20)
	task := r.Start("copy", 0)
	task.Set(1, 1000) // too early to be shown
	*now = now.Add(time.Second)
	task.Set(500, 1000)
	task.Done(errors.New("x"))
	got := out.String()
	if strings.Count(got, "\r\x1b[K") != 2 || strings.Count(got, "\n") != 1 || !strings.HasSuffix(got, "\n") {
		t.Errorf("%q", got)
	}
	for line := range strings.SplitSeq(got, "\r\x1b[K") {
		if len(strings.TrimSpace(line)) > 19 {
			t.Errorf("%q does not fit into 20 columns", line)
		}
	}
}

func TestUnknownTotalAndNoOutput(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	r, now := reporter(&out, false, 80)
	task := r.Start("copy", 0)
	*now = now.Add(10 * time.Second)
	task.Add(1 << 20)
	if want := "copy: 1.00 MiB, 102 KiB/s\n"; out.String() != want {
		t.Errorf("%q, want %q", out.String(), want)
	}
	silent := New(nil).Start("x", 1)
	silent.Add(1)
	silent.Done(nil)
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.00 KiB", 10 << 10: "10.0 KiB", 100 << 10: "100 KiB", 1023 << 10: "1.00 MiB",
		1536 << 20: "1.50 GiB", 1<<63 - 1: "8.00 EiB",
	} {
		if got := Bytes(n); got != want {
			t.Errorf("%d: %s, want %s", n, got, want)
		}
	}
}
