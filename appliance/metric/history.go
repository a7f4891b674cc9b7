package metric

import (
	"slices"
	"sync"
	"time"
)

// How much is kept: about 100 KB in all.
const (
	Interval     = 10 * time.Second // between the samples of the last hour
	DayInterval  = 5 * time.Minute  // between those of the last day
	recentLimit  = int(time.Hour / Interval)
	dayLimit     = int(24 * time.Hour / DayInterval)
	samplesOfDay = int(DayInterval / Interval)
)

// History is what a machine has used, oldest first.
type History struct {
	Recent []Sample `json:"recent"` // of the last hour, each 10 s
	Day    []Sample `json:"day"`    // of the last 24 hours, each the mean of 5 minutes
}

// Recorder keeps samples. Its methods may be called from any goroutine.
type Recorder struct {
	mu      sync.Mutex
	history History
	pending []Sample // that are in no mean yet
}

// Add keeps a sample, and forgets the oldest one where there is no room.
func (r *Recorder) Add(s Sample) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history.Recent = push(r.history.Recent, s, recentLimit)
	if r.pending = append(r.pending, s); len(r.pending) < samplesOfDay {
		return
	}
	r.history.Day = push(r.history.Day, mean(r.pending), dayLimit)
	r.pending = r.pending[:0]
}

// Latest is the newest sample; false before there is one.
func (r *Recorder) Latest() (Sample, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.history.Recent)
	if n == 0 {
		return Sample{}, false
	}
	return r.history.Recent[n-1], true
}

// Snapshot is a copy of everything that is kept.
func (r *Recorder) Snapshot() History {
	r.mu.Lock()
	defer r.mu.Unlock()
	return History{Recent: append([]Sample{}, r.history.Recent...), Day: append([]Sample{}, r.history.Day...)}
}

func push(list []Sample, s Sample, limit int) []Sample {
	if len(list) >= limit {
		list = slices.Delete(list, 0, len(list)-limit+1)
	}
	return append(list, s)
}

// mean is dated as the last of the samples, of which there is at least one.
func mean(samples []Sample) Sample {
	m := samples[len(samples)-1]
	m.CPU, m.Load, m.MemoryUsed, m.DiskUsed = 0, 0, 0, 0
	n := len(samples)
	for _, s := range samples {
		m.CPU += s.CPU / float64(n)
		m.Load += s.Load / float64(n)
		m.MemoryUsed += s.MemoryUsed / int64(n)
		m.DiskUsed += s.DiskUsed / int64(n)
	}
	return m
}
