package datastore

import "time"

// Trouble is what kind of thing is wrong with a site's own database.
type Trouble string

// The kinds of trouble. With Unfit, where Serves is set, the database is used all the same.
const (
	Unreachable Trouble = "unreachable" // nobody answers there, or not now
	Refused     Trouble = "refused"     // it does not let this site in
	Unfit       Trouble = "unfit"       // it is not one that a site can be kept in
)

// DatabaseReport is what the store engine says about a site's own database.
type DatabaseReport struct {
	At       time.Time `json:"at"`
	Server   string    `json:"server,omitempty"` // such as PostgreSQL 15.18
	Revision int64     `json:"revision"`         // the newest in it
	Bytes    int64     `json:"bytes"`
	// SkewMillis is how far the database's clock is ahead of this machine's.
	SkewMillis int64 `json:"skewMillis"`

	Trouble Trouble `json:"trouble,omitempty"`
	Found   string  `json:"found,omitempty"`  // what is wrong, in words
	Advice  string  `json:"advice,omitempty"` // what to do about it
	Serves  bool    `json:"serves"`           // whether it is used
}

// Wrong says in words what is wrong and what to do; empty when nothing is.
func (r DatabaseReport) Wrong() string {
	if r.Trouble == "" {
		return ""
	}
	return r.Found + "; " + r.Advice
}
