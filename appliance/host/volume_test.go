package host

import (
	"testing"
	"time"
)

// The machine of the test has a directory that can be written to, so there is a volume, the one that holds it first.
func TestVolumes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	all, err := Volumes(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > maxVolumes {
		t.Errorf("%d volumes", len(all))
	}
	points := map[string]bool{}
	for _, v := range all {
		if v.FreeBytes < 0 || v.TotalBytes < v.FreeBytes || v.Sync < 0 || points[v.Point] {
			t.Errorf("%+v", v)
		}
		points[v.Point] = true
	}
}

func TestLookLeavesOut(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]Mount{
		"memory":     {Point: "/", Type: "tmpfs"},
		"network":    {Point: "/", Type: "nfs4"},
		"read only":  {Point: "/", Type: "ext4", Options: []string{"ro"}},
		"no program": {Point: "/", Type: "ext4", Options: []string{"rw", "noexec"}},
		"the boot":   {Point: "/boot", Type: "ext4"},
		"a file":     {Point: "/proc/self/status", Type: "ext4"},
		"gone":       {Point: "/no/such/place", Type: "ext4"},
	} {
		if v, _, ok := look(m); ok {
			t.Errorf("%s: %+v", name, v)
		}
	}
	if _, _, ok := look(Mount{Point: "/", Type: "ext4", Options: []string{"rw"}}); !ok {
		t.Error("a disk is left out")
	}
}

func TestBoardClock(t *testing.T) {
	t.Parallel()
	got := *rtc(time.Date(2026, 5, 17, 9, 30, 12, 0, time.UTC))
	if got.Year != 126 || got.Mon != 4 || got.Mday != 17 || got.Hour != 9 || got.Min != 30 || got.Sec != 12 {
		t.Errorf("%+v", got)
	}
}
