package metric

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var begin = time.Date(2026, 5, 17, 9, 0, 0, 0, time.UTC)

func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMeter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := &Meter{proc: dir, disk: dir}
	write(t, dir, map[string]string{
		"stat":    "cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n",
		"loadavg": "0.42 0.40 0.30 1/200 999\n",
		"meminfo": "MemTotal:        4000 kB\nMemFree:  100 kB\nMemAvailable:    3000 kB\n",
	})
	first, err := m.Read(begin)
	if err != nil {
		t.Fatal(err)
	}
	if first.CPU != 0.2 || first.Load != 0.42 || first.Memory() != 0.25 || first.DiskTotal <= 0 || first.Disk() <= 0 || first.Disk() > 1 {
		t.Errorf("%+v", first)
	}
	write(t, dir, map[string]string{"stat": "cpu  150 0 100 740 110 0 0 0 90 0\n"})
	second, err := m.Read(begin.Add(Interval))
	if err != nil || second.CPU != 0.5 {
		t.Errorf("%+v, %v: want half of the processors busy since the first sample", second, err)
	}
	for name, broken := range map[string]string{"stat": "intr 1", "loadavg": "high", "meminfo": "MemTotal: many kB\n"} {
		good, _ := os.ReadFile(filepath.Join(dir, name))
		write(t, dir, map[string]string{name: broken})
		if _, err := m.Read(begin); err == nil {
			t.Errorf("%s of %q is no error", name, broken)
		}
		write(t, dir, map[string]string{name: string(good)})
	}
}

func TestThisMachine(t *testing.T) {
	t.Parallel()
	s, err := NewMeter(t.TempDir()).Read(begin)
	if err != nil || s.Processors < 1 || s.CPU < 0 || s.CPU > 1 || s.Memory() <= 0 || s.Memory() > 1 {
		t.Errorf("%+v, %v", s, err)
	}
}

// A day and an hour later the oldest samples are gone, and the day's are means.
func TestRecorderIsBounded(t *testing.T) {
	t.Parallel()
	var r Recorder
	if _, ok := r.Latest(); ok {
		t.Error("a sample out of nothing")
	}
	at := begin
	for i := range int(25 * time.Hour / Interval) {
		at = at.Add(Interval)
		r.Add(Sample{At: at, CPU: float64(i % 2), MemoryUsed: 100, MemoryTotal: 200})
	}
	h := r.Snapshot()
	if len(h.Recent) != recentLimit || len(h.Day) != dayLimit {
		t.Fatalf("%d and %d samples", len(h.Recent), len(h.Day))
	}
	if newest := h.Recent[len(h.Recent)-1]; !newest.At.Equal(at) {
		t.Errorf("the newest is of %s", newest.At)
	}
	for _, s := range h.Day {
		if math.Abs(s.CPU-0.5) > 1e-9 || s.MemoryTotal != 200 || s.MemoryUsed > 100 || s.MemoryUsed < 90 {
			t.Fatalf("%+v is no mean", s)
		}
	}
	if gap := h.Day[1].At.Sub(h.Day[0].At); gap != DayInterval {
		t.Errorf("%s between samples of the day", gap)
	}
	h.Recent[0].CPU = 7
	if r.Snapshot().Recent[0].CPU == 7 {
		t.Error("a snapshot is not a copy")
	}
}
