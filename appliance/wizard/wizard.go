// Package wizard asks what must be known to make a node of a machine. It knows the questions, their order, which of them
// apply, and what is wrong with an answer; how they are put to a person is for its drivers. What comes out is an answer file,
// the same that `appliance install --config` takes, so that nothing can be said here that a file cannot say.
package wizard

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/join"
)

// The questions that are not about a field of the answer file.
const (
	Action      = "action"      // ActionNew or ActionJoin
	Token       = "token"       // join token, with ActionJoin
	RecoveryKey = "recoveryKey" // Yes, No or Own, with ActionNew
	Clock       = "clock"       // Yes where it is right, with ActionNew
	ClockTime   = "clockTime"   // the time in UTC, where it is not
)

// What Action and yes-or-no questions are answered with.
const (
	ActionNew  = "new"
	ActionJoin = "join"
	Yes        = "yes"
	No         = "no"
	Own        = "own" // a recovery key that somebody has already
)

// Question is one thing to be said. An empty answer takes Value.
type Question struct {
	ID      string // the field of the answer file, such as site.name, where it is about one
	Label   string
	Help    Texts
	Value   string   // as answered, else what follows without an answer; may be empty
	Options []Option // the answers there are; empty where any text may be right
}

// Option is one of few answers.
type Option struct {
	Value string
	Label Text
}

// Step is a page of questions. Facts are lines of what is known already and helps to answer.
type Step struct {
	ID, Title string
	Facts     []Text
	Questions []Question
}

// Wizard holds the answers of one machine. It is not for use by several goroutines.
type Wizard struct {
	// Now is the clock that is shown as this machine's.
	Now     func() time.Time
	facts   host.Facts
	answers map[string]string
	timed   time.Time // when ClockTime was answered
}

// New begins with no answer. What follows without one is taken from the facts of this machine.
func New(facts host.Facts) *Wizard {
	return &Wizard{Now: time.Now, facts: facts, answers: map[string]string{}}
}

// Steps lists the steps that apply after the answers so far, with those in them. Another answer may change the list.
func (w *Wizard) Steps() []Step {
	defaults := w.defaults()
	var steps []Step
	for _, s := range table() {
		step := Step{ID: s.id, Title: s.title}
		for _, q := range s.questions {
			if !q.applies(w) {
				continue
			}
			value, answered := w.answers[q.id]
			if !answered {
				value = defaults[q.id]
			}
			step.Questions = append(step.Questions, Question{ID: q.id, Label: q.label, Help: q.explain(), Value: value, Options: q.choices(w)})
		}
		if len(step.Questions) > 0 {
			if s.facts != nil {
				step.Facts = s.facts(w)
			}
			steps = append(steps, step)
		}
	}
	return steps
}

// Look takes what the machine is like now. Answers stay, and may be wrong by then.
func (w *Wizard) Look(facts host.Facts) { w.facts = facts }

// Answered is the answer to a question, or empty.
func (w *Wizard) Answered(id string) string { return w.answers[id] }

// Value is the answer to a question, or what follows without one.
func (w *Wizard) Value(id string) string {
	if v, ok := w.answers[id]; ok {
		return v
	}
	return w.defaults()[id]
}

// ErrNoQuestion is returned for an answer to something that is not asked.
var ErrNoQuestion = errors.New("not asked")

// Answer takes an answer, or with an empty one goes back to what follows without. What is wrong is refused, as config.Problems
// where it is a field's, and the answer before it stays.
func (w *Wizard) Answer(id, text string) error {
	q := find(id)
	if q == nil || !q.applies(w) {
		return fmt.Errorf("%s: %w", id, ErrNoQuestion)
	}
	text = strings.TrimSpace(text)
	if options := q.choices(w); len(options) > 0 && text != "" && !slices.ContainsFunc(options, func(o Option) bool { return o.Value == text }) {
		return fmt.Errorf("%q is none of the answers", text)
	}
	if q.check != nil && text != "" {
		if err := q.check(text); err != nil {
			return err
		}
	}
	before := maps.Clone(w.answers)
	if w.answers[id] = text; text == "" {
		delete(w.answers, id)
	}
	if wrong := w.Problems(id); len(wrong) > 0 {
		w.answers = before
		return wrong
	}
	if id == ClockTime {
		w.timed = w.Now()
	}
	return nil
}

// shift is by how much the clock was wrong when the right time was typed.
func (w *Wizard) shift() time.Duration {
	at, err := ParseTime(w.answers[ClockTime])
	if err != nil || !clockIsWrong(w) {
		return 0
	}
	return at.Sub(w.timed).Round(time.Second)
}

// ParseTime reads a time in UTC as a person types it, to the minute or the second.
func ParseTime(text string) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04", time.DateTime} {
		if at, err := time.Parse(layout, strings.TrimSpace(text)); err == nil {
			return at, nil
		}
	}
	return time.Time{}, errors.New("no time: type it as YYYY-MM-DD hh:mm, in UTC")
}

// Problems are what is wrong with the answers to these questions, or with all answers if none is named.
func (w *Wizard) Problems(ids ...string) config.Problems {
	_, err := w.configuration()
	wrong := about(err, ids...)
	if (len(ids) == 0 || slices.Contains(ids, Token)) && isJoin(w) && w.answers[Token] == "" {
		wrong = append(wrong, config.Problem{Path: Token, Message: "a token is needed", Advice: "make one on a server of the site: appliance token create"})
	}
	for _, id := range slices.Sorted(maps.Keys(needed)) {
		p := needed[id]
		if q := find(id); (len(ids) == 0 || slices.Contains(ids, id)) && q.applies(w) && w.answers[id] == "" {
			p.Path = id
			wrong = append(wrong, p)
		}
	}
	return wrong
}

// needed are what an answer must be given to, where it is asked at all.
var needed = map[string]config.Problem{
	ClockTime:          {Message: "the time is needed", Advice: "type it as YYYY-MM-DD hh:mm, in UTC"},
	"backup.recipient": {Message: "the public half of the recovery key is needed", Advice: "it begins with age1, and stands beside the key: appliance backup key show"},
}

func about(err error, ids ...string) config.Problems {
	all, ok := errors.AsType[config.Problems](err)
	if !ok && err != nil {
		all = config.Problems{{Message: err.Error()}}
	}
	if len(ids) == 0 {
		return all
	}
	return slices.DeleteFunc(all, func(p config.Problem) bool {
		field, _, _ := strings.Cut(p.Path, "[")
		return !slices.Contains(ids, field)
	})
}

// File is the answer file: what was answered, in the order of the documentation.
func (w *Wizard) File() ([]byte, error) {
	file, err := fmt.Appendf(nil, "apiVersion: %s\nkind: %s\n", config.APIVersion, config.Kind), error(nil)
	for _, f := range config.Fields() {
		value, answered := w.answers[f.Path]
		if q := find(f.Path); !answered || q == nil || !q.applies(w) {
			continue
		}
		if file, err = config.Edit(file, f.Path, value); err != nil && file == nil {
			return nil, err
		}
	}
	return file, err
}

// configuration is what the answers come to on this machine. The error is of type config.Problems.
func (w *Wizard) configuration() (config.Config, error) {
	file, err := w.File()
	if file == nil {
		return config.Default(), err
	}
	c, _, err := config.Decode(bytes.NewReader(file))
	if err == nil {
		_, err = config.Derive(c, w.facts)
	}
	return c, err
}

// defaults are the answers that follow without any, after those that were given.
func (w *Wizard) defaults() map[string]string {
	file, _ := w.File()
	c, _, err := config.Decode(bytes.NewReader(file))
	if err != nil {
		c = config.Default()
	}
	derived, derivable := config.Derive(c, w.facts)
	out := map[string]string{Action: ActionNew, RecoveryKey: Yes, Clock: Yes}
	for _, s := range table() {
		for _, q := range s.questions {
			if value, ok := config.Get(c, q.id); ok {
				out[q.id] = value
			}
		}
	}
	for id, value := range map[string]string{"node.name": derived.NodeName, "gateway.domain": derived.Domain} {
		if out[id] == "" {
			out[id] = value
		}
	}
	if out["node.address"] == "" && len(about(derivable, "node.address")) == 0 {
		out["node.address"] = derived.Address.String()
	}
	return out
}

func checkToken(text string) error {
	_, err := join.ParseToken(text)
	return err
}
