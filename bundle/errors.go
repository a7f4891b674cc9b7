package bundle

import (
	"errors"
	"fmt"
)

// The reasons a bundle, or something in it, is refused. Every error of this package that stems from the file's content
// wraps exactly one of them.
var (
	ErrForeign   = errors.New("no bundle in this file")
	ErrTruncated = errors.New("truncated")
	ErrAltered   = errors.New("altered")
	ErrUnsigned  = errors.New("unsigned")
	ErrUntrusted = errors.New("signed by no trusted key")
	ErrNewer     = errors.New("newer bundle format")
	ErrOversized = errors.New("larger than allowed")
	ErrInvalid   = errors.New("malformed bundle")
	ErrNotFound  = errors.New("not in the bundle")
)

// Error says which bundle was refused, why, and what was seen.
type Error struct {
	Reason error  // one of the sentinels above
	Source string // the file's path, or empty
	Detail string // what was found and where
}

func (e *Error) Error() string {
	source := e.Source
	if source == "" {
		source = "(unnamed)"
	}
	return fmt.Sprintf("bundle %s: %s: %s", source, e.Reason, e.Detail)
}

// Unwrap returns the Reason.
func (e *Error) Unwrap() error { return e.Reason }

// Advice tells an operator what to do next.
func (e *Error) Advice() string {
	switch {
	case errors.Is(e.Reason, ErrForeign):
		return "name the right file with --bundle FILE; an appliance executable built without its payload carries no bundle"
	case errors.Is(e.Reason, ErrTruncated):
		return "copy the file again and compare its size and SHA-256 with the source; the copy stopped early"
	case errors.Is(e.Reason, ErrAltered):
		return "do not use this file; copy it again from the source, and check the medium if it happens twice"
	case errors.Is(e.Reason, ErrUnsigned):
		return "ask the publisher for the signed bundle, or sign your own with `appliance bundle create --key FILE`"
	case errors.Is(e.Reason, ErrUntrusted):
		return "check with the publisher that the key is theirs, then put its .pub file into the trust directory (default /etc/appliance/trust.d)"
	case errors.Is(e.Reason, ErrNewer):
		return "use the appliance executable that came with this bundle, or a newer one"
	case errors.Is(e.Reason, ErrOversized):
		return "the file is damaged or not made by this tool; do not use it"
	case errors.Is(e.Reason, ErrInvalid):
		return "report this to whoever made the bundle; it is intact but breaks the format (docs/bundle-format.md)"
	case errors.Is(e.Reason, ErrNotFound):
		return "`appliance bundle inspect FILE` lists what the bundle holds"
	}
	return ""
}
