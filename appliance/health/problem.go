// Package health knows what can be wrong with a node, in words that an operator can act on.
// Problems are declared once, in the catalogue; components report them to a Tracker, and the CLI,
// the TUI and the node API show its snapshots.
package health

import "time"

// Code names a problem for ever: scripts match it, and docs/operator/problems/CODE.md explains it.
type Code string

// Severity says how soon someone must act.
type Severity string

// The severities. Critical: applications are down or data is at risk. Warning: nothing is down yet.
const (
	Critical Severity = "critical"
	Warning  Severity = "warning"
)

// Problem is the declaration of something that can be wrong.
type Problem struct {
	Code     Code          `json:"code"`
	Title    string        `json:"title"`  // a sentence without its subject: "is not ready"
	Advice   string        `json:"advice"` // the next step
	Severity Severity      `json:"severity"`
	After    time.Duration `json:"-"` // it is shown only when it has lasted this long
	CausedBy []Code        `json:"-"` // it is hidden while one of these is raised, for any subject
}

// Page is where the problem is explained, below the documentation's root.
func (p Problem) Page() string { return "operator/problems/" + string(p.Code) + ".md" }
