package wizard

import (
	"strings"
	"testing"
	"time"

	"islet/appliance/host"
)

// The time that was typed counts on from when it was, however long the other questions take.
func TestClock(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	now := time.Date(2019, 1, 1, 0, 0, 0, 0, time.UTC)
	w.Now = func() time.Time { return now }
	if err := w.Answer(ClockTime, "2026-05-17 09:30"); err == nil {
		t.Error("the time is asked though the clock is right")
	}
	if err := w.Answer(Clock, No); err != nil {
		t.Fatal(err)
	}
	if wrong := w.Problems(); len(wrong) != 1 || wrong[0].Path != ClockTime {
		t.Errorf("%v", wrong)
	}
	for _, text := range []string{"tomorrow", "2026-05-17", "09:30", "2026-13-01 00:00"} {
		if err := w.Answer(ClockTime, text); err == nil {
			t.Errorf("%q is a time", text)
		}
	}
	if err := w.Answer(ClockTime, "2019-01-01 01:30"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(10 * time.Minute)
	o, err := w.Order()
	if err != nil || o.Shift != 90*time.Minute || strings.Contains(string(o.Answers), "clock") {
		t.Errorf("%+v, %v", o, err)
	}
	if err := w.Answer(Clock, Yes); err != nil {
		t.Fatal(err)
	}
	if o, _ := w.Order(); o.Shift != 0 {
		t.Errorf("a clock that is right is set by %s", o.Shift)
	}
}

func TestOwnRecoveryKey(t *testing.T) {
	t.Parallel()
	w := New(machine("192.0.2.11/24"))
	if err := w.Answer(RecoveryKey, Own); err != nil {
		t.Fatal(err)
	}
	if wrong := w.Problems(); len(wrong) != 1 || wrong[0].Path != "backup.recipient" {
		t.Errorf("%v", wrong)
	}
	if err := w.Answer("backup.recipient", "age1no"); err == nil {
		t.Error("anything is a key")
	}
	if err := w.Answer("backup.recipient", "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"); err != nil {
		t.Fatal(err)
	}
	if o, err := w.Order(); err != nil || !strings.Contains(string(o.Answers), "recipient: age1ql3") || !o.NoKey {
		t.Errorf("%+v, %v\n%s", o, err, o.Answers)
	}
}

// A filesystem is chosen where there are several; with one, any directory may be typed.
func TestDirectory(t *testing.T) {
	t.Parallel()
	f := machine("192.0.2.11/24")
	w := New(f)
	if err := w.Answer("paths.stateDir", "/srv/islet"); err != nil {
		t.Error(err)
	}
	f.Volumes = []host.Volume{{Mount: host.Mount{Point: "/", Type: "ext4"}, Sync: time.Millisecond}, {Mount: host.Mount{Point: "/data", Type: "xfs"}, FreeBytes: 9 << 30}}
	w = New(f)
	if err := w.Answer("paths.stateDir", "/srv/islet"); err == nil {
		t.Error("none of the answers is one")
	}
	if err := w.Answer("paths.stateDir", "/data/appliance"); err != nil {
		t.Fatal(err)
	}
	if file, err := w.File(); err != nil || !strings.Contains(string(file), "stateDir: /data/appliance") {
		t.Errorf("%v\n%s", err, file)
	}
	for _, s := range w.Steps() {
		if s.ID == "disk" && (len(s.Facts) != 3 || !strings.Contains(s.Facts[0].String(), "1.0 ms") || !strings.Contains(s.Facts[2].String(), "takes 3.0 GiB")) {
			t.Error(s.Facts)
		}
	}
}
