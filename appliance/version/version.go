// Package version holds what the build stamped into the executable.
package version

import (
	"fmt"
	"runtime"
)

// Set by the build with -ldflags "-X islet/appliance/version.Version=...". They are read through Get only.
var (
	// Version is the release, or "dev" for a build that nobody stamped.
	Version = "dev"
	// Commit is the source revision in full, or empty.
	Commit = ""
	// Date is the build's SOURCE_DATE_EPOCH as RFC 3339 in UTC, or empty.
	Date = ""
)

// Info describes one executable. Its JSON form is part of `appliance version -o json`.
type Info struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Date     string `json:"date,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// Get returns the stamps of the running executable.
func Get() Info {
	return Info{
		Version:  Version,
		Commit:   Commit,
		Date:     Date,
		Go:       runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
}

// String is one line for people and logs.
func (i Info) String() string {
	s := i.Version
	if i.Commit != "" {
		s += fmt.Sprintf(" (%.12s)", i.Commit)
	}
	if i.Date != "" {
		s += " of " + i.Date
	}
	return s
}
