package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Adviser is an error that knows what its reader should do next. Error tells what and where, Advice the next step; one
// line each, several if there are several ways out.
type Adviser interface {
	error
	Advice() string
}

type advisedError struct {
	error
	advice string
}

func (e *advisedError) Advice() string { return e.advice }

func (e *advisedError) Unwrap() error { return e.error }

// Advise adds the next step to err. A nil err stays nil.
func Advise(err error, advice string) error {
	if err == nil {
		return nil
	}
	return &advisedError{error: err, advice: advice}
}

// printError writes err the way every command does:
//
//	error: what happened, to what
//	next: what to do about it
func printError(w io.Writer, err error) {
	var exit *ExitError
	if errors.As(err, &exit) && exit.Err == nil {
		return
	}
	for i, line := range strings.Split(err.Error(), "\n") {
		prefix := "error: "
		if i > 0 {
			prefix = "       "
		}
		fmt.Fprintln(w, prefix+line)
	}
	for _, advice := range collectAdvice(err, nil) {
		fmt.Fprintln(w, "next: "+advice)
	}
}

// collectAdvice walks the tree of wrapped errors, outermost first, and returns each line of advice once.
func collectAdvice(err error, found []string) []string {
	if err == nil {
		return found
	}
	if adviser, ok := err.(Adviser); ok { //nolint:errorlint // the walk itself looks at every layer
		for line := range strings.SplitSeq(adviser.Advice(), "\n") {
			if line = strings.TrimSpace(line); line != "" && !slices.Contains(found, line) {
				found = append(found, line)
			}
		}
	}
	switch wrapper := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return collectAdvice(wrapper.Unwrap(), found)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapper.Unwrap() {
			found = collectAdvice(inner, found)
		}
	}
	return found
}
