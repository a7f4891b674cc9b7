package wizard

import (
	"fmt"
	"strings"
)

// Text is something that a driver says, and may say in another language: Format is constant, what is known of this machine is
// in Args. An argument may be a Text itself.
type Text struct {
	Format string
	Args   []any
}

func textf(format string, args ...any) Text { return Text{Format: format, Args: args} }

// String is the text in English.
func (t Text) String() string {
	return t.In(func(format string, args ...any) string {
		if len(args) == 0 {
			return format
		}
		return fmt.Sprintf(format, args...)
	})
}

// In is the text as say says it, which is given the format and the arguments.
func (t Text) In(say func(format string, args ...any) string) string {
	args := make([]any, len(t.Args))
	for i, a := range t.Args {
		if inner, ok := a.(Text); ok {
			a = inner.In(say)
		}
		args[i] = a
	}
	return say(t.Format, args...)
}

// Texts are sentences, one behind the other.
type Texts []Text

// String is all of them in English.
func (all Texts) String() string {
	said := make([]string, len(all))
	for i, t := range all {
		said[i] = t.String()
	}
	return strings.Join(said, " ")
}
