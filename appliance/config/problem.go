package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing in an answer file that someone has to correct.
type Problem struct {
	File    string `json:"file,omitempty"`   // set by Problems.In
	Line    int    `json:"line,omitempty"`   // from 1; 0 when the value is not in the file
	Column  int    `json:"column,omitempty"` // from 1
	Path    string `json:"path,omitempty"`   // such as network.dns[1]; empty for the document as a whole
	Message string `json:"message"`
	Advice  string `json:"advice,omitempty"` // what to do next
}

// String is "FILE:LINE:COL: PATH: MESSAGE; ADVICE" without the parts that are not known.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File + ":")
	}
	if p.Line > 0 {
		fmt.Fprintf(&b, "%d:%d:", p.Line, p.Column)
	}
	if b.Len() > 0 {
		b.WriteString(" ")
	}
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Message)
	if p.Advice != "" {
		b.WriteString("; " + p.Advice)
	}
	return b.String()
}

// Warning is a Problem that does not stop anything.
type Warning Problem

func (w Warning) String() string { return Problem(w).String() }

// Problems is an error that lists all of them, one a line.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, problem := range p {
		lines[i] = problem.String()
	}
	return strings.Join(lines, "\n")
}

// In returns the problems with the name of the file they are in.
func (p Problems) In(file string) Problems {
	named := slices.Clone(p)
	for i := range named {
		named[i].File = file
	}
	return named
}

// orNil turns an empty list into no error.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	return p
}

// sorted puts the problems in the order in which a reader of the file meets them. Those without a
// place come last.
func (p Problems) sorted() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		if (a.Line == 0) != (b.Line == 0) {
			return cmp.Compare(b.Line, a.Line)
		}
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return p
}
