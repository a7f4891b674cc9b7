package health

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func testCatalogue() []Problem {
	return []Problem{
		{Code: "root", Title: "is broken", Severity: Critical},
		{Code: "middle", Title: "is late", Severity: Critical, After: time.Minute, CausedBy: []Code{"root"}},
		{Code: "leaf", Title: "is missing", Severity: Warning, CausedBy: []Code{"middle"}},
	}
}

// shown writes a snapshot as "code/subject" with "<cause" for hidden ones.
func shown(t *Tracker) string {
	var list []string
	for _, a := range t.Snapshot() {
		text := string(a.Code) + "/" + a.Subject
		if a.HiddenBy != "" {
			text += "<" + string(a.HiddenBy)
		}
		list = append(list, text)
	}
	return strings.Join(list, " ")
}

func TestTracker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		do   func(*Tracker)
		want string
	}{
		{"nothing", func(*Tracker) {}, ""},
		{"at once", func(r *Tracker) { r.Set("root", "disk", "") }, "root/disk"},
		{"not yet", func(r *Tracker) { r.Set("middle", "a", ""); time.Sleep(59 * time.Second) }, ""},
		{"after its time", func(r *Tracker) { r.Set("middle", "a", ""); time.Sleep(time.Minute) }, "middle/a"},
		{"set again keeps its start", func(r *Tracker) {
			r.Set("middle", "a", "1")
			time.Sleep(59 * time.Second)
			r.Set("middle", "a", "2")
			time.Sleep(time.Second)
		}, "middle/a"},
		{"gone in between starts anew", func(r *Tracker) {
			r.Set("middle", "a", "")
			time.Sleep(59 * time.Second)
			r.Clear("middle", "a")
			r.Set("middle", "a", "")
			time.Sleep(time.Second)
		}, ""},
		{"cleared", func(r *Tracker) { r.Set("root", "a", ""); r.Clear("root", "a") }, ""},
		{"cleared for another subject", func(r *Tracker) { r.Set("root", "a", ""); r.Clear("root", "b") }, "root/a"},
		{"order of the catalogue, then subject", func(r *Tracker) {
			r.Set("leaf", "z", "")
			r.Set("root", "b", "")
			r.Set("root", "a", "")
		}, "root/a root/b leaf/z"},
		{"hidden behind its cause", func(r *Tracker) {
			r.Set("leaf", "x", "")
			r.Set("middle", "y", "")
			time.Sleep(time.Minute)
		}, "middle/y leaf/x<middle"},
		{"not hidden behind a cause that is not shown yet", func(r *Tracker) { r.Set("leaf", "x", ""); r.Set("middle", "y", "") }, "leaf/x"},
		{"hidden behind a cause that is hidden itself", func(r *Tracker) {
			r.Set("leaf", "x", "")
			r.Set("middle", "y", "")
			r.Set("root", "z", "")
			time.Sleep(time.Minute)
		}, "root/z middle/y<root leaf/x<middle"},
		{"unknown code", func(r *Tracker) { r.Set("typo", "x", "") }, "typo/x"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				tracker := NewTracker(testCatalogue())
				defer tracker.Close()
				c.do(tracker)
				if got := shown(tracker); got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
			})
		})
	}
}

// Every change that a snapshot can show wakes the reader, and nothing else does.
func TestTrackerWakesReaders(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		tracker := NewTracker(testCatalogue())
		started := time.Now()
		woken := func(what string, want bool, do func()) {
			t.Helper()
			changed := tracker.Changed()
			do()
			select {
			case <-changed:
				if !want {
					t.Errorf("%s wakes the reader", what)
				}
			default:
				if want {
					t.Errorf("%s does not wake the reader", what)
				}
			}
		}
		woken("a problem", true, func() { tracker.Set("root", "a", "1") })
		woken("the same again", false, func() { tracker.Set("root", "a", "1") })
		woken("another detail", true, func() { tracker.Set("root", "a", "2") })
		woken("clearing", true, func() { tracker.Clear("root", "a") })
		woken("clearing again", false, func() { tracker.Clear("root", "a") })
		woken("a debounced problem", false, func() { tracker.Set("middle", "a", "") })
		changed := tracker.Changed()
		<-changed
		if waited := time.Since(started); waited != time.Minute || shown(tracker) != "middle/a" {
			t.Errorf("woken after %v with %q", waited, shown(tracker))
		}
		tracker.Set("middle", "b", "")
		tracker.Close()
		woken("time after closing", false, func() { time.Sleep(time.Hour) })
		woken("a report after closing", false, func() { tracker.Set("root", "z", "") })
	})
}

func TestTrackerFromManySides(t *testing.T) {
	t.Parallel()
	tracker := NewTracker(Catalogue())
	defer tracker.Close()
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for n := range 200 {
				tracker.Set(ComponentCrashing, fmt.Sprint(i), fmt.Sprint(n))
				if tracker.Changed() == nil || len(tracker.Snapshot()) == 0 {
					t.Error("the problem that was just set is not in the snapshot")
				}
				if n < 199 {
					tracker.Clear(ComponentCrashing, fmt.Sprint(i))
				}
			}
		})
	}
	all.Wait()
	if got := len(tracker.Snapshot()); got != 8 {
		t.Errorf("%d problems are left, want 8", got)
	}
}

func TestActiveIsReadableByPrograms(t *testing.T) {
	t.Parallel()
	tracker := NewTracker(Catalogue())
	defer tracker.Close()
	tracker.Set(PortInUse, "443/tcp", "nginx (pid 7)")
	list := tracker.Snapshot()
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var got []map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"code", "title", "advice", "severity", "subject", "detail", "since"} {
		if got[0][name] == "" || got[0][name] == nil {
			t.Errorf("%s is missing in %s", name, text)
		}
	}
	if list[0].Headline() != "443/tcp is held by another program" {
		t.Errorf("headline is %q", list[0].Headline())
	}
	if empty, err := json.Marshal(NewTracker(nil).Snapshot()); err != nil || string(empty) != "[]" {
		t.Errorf("nothing wrong is written as %s (%v)", empty, err)
	}
}
