// Package screen is the frame that all pages of the UI live in: one root model that owns the size, the route and the dialogs.
// Pages draw into the room that they are given and do no work of their own: whatever takes time is a tea.Cmd with a limit, and
// what comes back late is dropped.
package screen

import (
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"islet/tui/message"
	"islet/tui/term"
	"islet/tui/theme"
)

// Context is what all pages share. It belongs to the goroutine of the program's updates.
type Context struct {
	Profile term.Profile
	Theme   theme.Theme
	Lang    message.Lang
	Now     func() time.Time
	// Run carries out a command of this program, as a person would type it, and returns what it printed. It is nil where
	// nothing can be changed from: an unprivileged console shows the command instead.
	Run func(args []string) Result
	// Enter gives the terminal to a command of this program until that ends, such as a shell in a pod. It is nil where Run is.
	Enter func(args []string) tea.Cmd
	// Name and Zone are of the site, for the first line; empty until they are known.
	Name, Zone string

	ids int
}

// NextID numbers what is asked for, so that an answer that comes late can be told from the one that is waited for.
func (c *Context) NextID() int {
	c.ids++
	return c.ids
}

// NewContext returns the context of a terminal.
func NewContext(p term.Profile) *Context {
	return &Context{Profile: p, Theme: theme.New(p), Lang: p.Lang, Now: time.Now}
}

// T is a text in the language of the screen.
func (c *Context) T(english string, args ...any) string { return c.Lang.T(english, args...) }

// Say is T for a text that is made where no screen is known of, with its values in it already.
func (c *Context) Say(text string) string { return c.Lang.Say(c.Lang.T(text)) }

// Result is what a command came to.
type Result struct {
	Output string
	Code   int // exit code
	Err    error
}

// Page is one screen. The root calls its methods from one goroutine: SetSize before the first View and after each change of
// the size, Update with every message that is not the root's own, View for what is to be drawn in width by height cells; what
// does not fit is cut.
type Page interface {
	Title() string
	SetSize(width, height int)
	Update(msg tea.Msg) tea.Cmd
	View() string
	Keys() []key.Binding
}

// Starter is a page that has something to fetch when it is shown first.
type Starter interface{ Start() tea.Cmd }

// Returner is a page that wants to know when it is shown again, because the one above it was left.
type Returner interface{ Return() tea.Cmd }

// Commander is a page whose content or next step has a twin on the command line.
type Commander interface{ Command() Command }

// Typing is a page that may be taking text, in which letters are no commands.
type Typing interface{ Typing() bool }

// Keeper is a page that must not be left by accident: Esc and q do nothing there.
type Keeper interface{ Keep() bool }

// Command is the headless twin of what a page shows or does.
type Command struct {
	Args    []string // of this program
	Kubectl string   // the same by kubectl, where there is such a thing
}

// What pages ask of the root, as messages.
type (
	pushMsg    struct{ page Page }
	popMsg     struct{}
	replaceMsg struct{ page Page }
	quitMsg    struct{}
	homeMsg    struct{}
	// LangMsg tells all pages that the language is another one.
	LangMsg struct{}
)

// Push shows a page above this one.
func Push(p Page) tea.Cmd { return func() tea.Msg { return pushMsg{p} } }

// Pushed is the page that a message of Push or Replace shows, nil for every other message. Tests follow it.
func Pushed(msg tea.Msg) Page {
	switch msg := msg.(type) {
	case pushMsg:
		return msg.page
	case replaceMsg:
		return msg.page
	}
	return nil
}

// Pop leaves this page.
func Pop() tea.Cmd { return func() tea.Msg { return popMsg{} } }

// Replace shows a page instead of this one.
func Replace(p Page) tea.Cmd { return func() tea.Msg { return replaceMsg{p} } }

// Home leaves every page but the first.
func Home() tea.Cmd { return func() tea.Msg { return homeMsg{} } }

// Quit ends the program, where it may be ended.
func Quit() tea.Cmd { return func() tea.Msg { return quitMsg{} } }
