package component

import "time"

// State is where a component is in its life.
type State string

// The states in the order in which a component usually passes them.
const (
	Pending   State = "pending"
	Waiting   State = "waiting"
	Preparing State = "preparing"
	Starting  State = "starting"
	Ready     State = "ready"
	Degraded  State = "degraded"
	Backoff   State = "backoff"
	Stopping  State = "stopping"
	Stopped   State = "stopped"
)

// Event is one change of state. Reason is a phrase for people: what it waits for, why it ended.
type Event struct {
	At        time.Time `json:"at"`
	Component string    `json:"component"`
	State     State     `json:"state"`
	Reason    string    `json:"reason,omitempty"`
}

// Status is a component as it stands now.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	Reason   string    `json:"reason,omitempty"`
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"` // ends since the start, whatever the reason
	Failures int       `json:"failures"` // of the last runs, how many failed in a row
	Needs    []string  `json:"needs,omitempty"`
	PID      int       `json:"pid,omitempty"`
}

// IsReady tells whether dependants may go on: a degraded component still serves.
func (s Status) IsReady() bool { return s.State == Ready || s.State == Degraded }

// IsCrashing tells whether the component failed at least times times in a row and has not since run
// for long enough to be trusted again. It stays so while the component starts once more.
func (s Status) IsCrashing(times int, now time.Time) bool {
	return s.Failures >= times && (!s.IsReady() || now.Sub(s.Since) < stableAfter)
}

// history is a bounded ring: the oldest event makes room for the newest.
type history struct {
	events []Event
	limit  int
}

func (h *history) add(e Event) {
	if len(h.events) == h.limit {
		copy(h.events, h.events[1:])
		h.events = h.events[:h.limit-1]
	}
	h.events = append(h.events, e)
}
