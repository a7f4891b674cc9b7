// Package setup is the conversation between whoever makes a node of this machine and who watches it: a screen, a terminal that
// is written line by line, or a log. The installation and the join say the same things to all of them, and ask the same.
package setup

import (
	"context"
	"errors"
	"time"

	"islet/appliance/api"
	"islet/appliance/install"
	"islet/appliance/preflight"
)

// Driver is told and asked by one goroutine, in the order in which things happen. Tell must not wait for a person.
type Driver interface {
	Tell(Event)
	// Ask returns nil to go on, ErrAgain where the question is to be put once more, and else why it ends here. It returns
	// soon after ctx ended.
	Ask(context.Context, Question) error
}

// ErrAgain asks for another check of the machine, after something was put right.
var ErrAgain = errors.New("check again")

// Event is one of the types below that say so.
type Event interface{ event() }

// Stage is what is being done.
type Stage string

// The stages, in their order. An installation asks no site.
const (
	Asking   Stage = "asking"   // the site
	Checking Stage = "checking" // this machine
	Planning Stage = "planning"
	Working  Stage = "working" // through the plan's steps
	Starting Stage = "starting"
)

// Note is a line that a person should see.
type Note string

// Ended is a step of the plan that is done, or has failed.
type Ended struct {
	Step install.Step
	Err  error
}

// Progress is how far a step is that takes long. What it does is in words.
type Progress struct {
	What        string
	Done, Total int64
}

// Approval is what is waited for, where somebody must approve of a machine that joins: on a server these words are shown, too.
type Approval struct{ Node, Words string }

// Unmanaged is the program that has to be started, where nothing does it.
type Unmanaged struct {
	Program string
	// Systemd runs, and the start was not wanted.
	Systemd bool
}

// Status is what the node has come to. Err is why it says nothing.
type Status struct {
	Node api.Status
	Err  error
}

// Started is how the start of the node came out.
type Started struct{ Err error }

func (Started) event()   {}
func (Stage) event()     {}
func (Note) event()      {}
func (Ended) event()     {}
func (Progress) event()  {}
func (Approval) event()  {}
func (Unmanaged) event() {}
func (Status) event()    {}

// Question is one of the types below that say so.
type Question interface{ question() }

// Checked is asked about what was found of the machine. Whatever the answer, a machine that failed is refused.
type Checked struct{ Report preflight.Report }

// Plan is asked about before anything is changed.
type Plan struct {
	Steps []install.Step
	// Answers is the answer file that will be this machine's.
	Answers []byte
	Join    bool
}

// Wait asks whether somebody will start the node, which is then waited for. ErrDecline is no.
type Wait struct{ Unmanaged }

// ErrDecline is a no that ends nothing.
var ErrDecline = errors.New("declined")

// Key is the site's recovery key. It counts once this question was answered: one that nobody has seen would seal what nobody can
// open.
type Key struct{ Site, Recipient, Secret string }

// Skew asks a machine that joins whether its clock is to be set to the site's, which is that far ahead of it. ErrDecline is no.
type Skew struct{ Ahead time.Duration }

func (Skew) question()    {}
func (Checked) question() {}
func (Plan) question()    {}
func (Wait) question()    {}
func (Key) question()     {}
