package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/mitchellh/go-wordwrap"
	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/layout"
	"islet/appliance/wizard"
)

// errBack is the wish to see the question before.
var errBack = errors.New("back")

// start is `appliance` without a command: on a terminal, for root, it makes a node of a machine that is none, and shows the
// status of one that is. Everybody else is shown the help.
func (e *Env) start(root *cobra.Command, _ []string) error {
	if _, person := terminal(e); !person || os.Geteuid() != 0 {
		return root.Help()
	}
	name := "status"
	if _, err := os.Stat(layout.Default().Config()); err != nil || recall().order != nil {
		name = "install"
	}
	command, _, err := root.Find([]string{name})
	if err != nil {
		return err
	}
	command.SetContext(root.Context())
	return command.RunE(command, nil)
}

// prompts put a wizard's questions to a person, line by line: on any terminal, without colour, cursor or width.
type prompts struct {
	in  *bufio.Reader
	out io.Writer
}

const promptsHelp = "Enter takes what is in brackets. ? explains a question, < goes back to the one before, - takes back an answer. " +
	"Ctrl-C ends it: nothing is changed until the last question is answered with yes."

// width is that of a console which does not say how wide it is.
const width = 79

// ask goes through all questions until each has an answer and nothing is wrong with all of them together.
func (p *prompts) ask(ctx context.Context, w *wizard.Wizard) error {
	p.say("", promptsHelp)
	for at := 0; ; {
		steps, step, i := locate(w, at)
		if steps == 0 {
			wrong := w.Problems()
			if len(wrong) == 0 {
				return nil
			}
			p.refuse(wrong)
			at = place(w, wrong[0].Path)
			continue
		}
		if i == 0 {
			p.introduce(step, steps)
		}
		err := p.question(ctx, w, step.Questions[i])
		switch {
		case errors.Is(err, errBack):
			at = max(0, at-1)
		case err != nil:
			return err
		default:
			at++
		}
	}
}

// place is the number of the question about a field, or of the first.
func place(w *wizard.Wizard, field string) int {
	n := 0
	for _, s := range w.Steps() {
		for _, q := range s.Questions {
			if q.ID == field {
				return n
			}
			n++
		}
	}
	return 0
}

// locate finds the question of that number among those that apply now: how many steps there are, its step, and its place in it.
// No steps means that it is behind the last.
func locate(w *wizard.Wizard, at int) (int, numberedStep, int) {
	steps := w.Steps()
	for n, s := range steps {
		if at < len(s.Questions) {
			return len(steps), numberedStep{s, n + 1}, at
		}
		at -= len(s.Questions)
	}
	return 0, numberedStep{}, 0
}

type numberedStep struct {
	wizard.Step
	number int
}

func (p *prompts) introduce(s numberedStep, of int) {
	fmt.Fprintf(p.out, "\n[%d of %d] %s\n", s.number, of, s.Title)
	for _, f := range s.Facts {
		p.say("  ", f.String())
	}
}

// question asks until the answer is good.
func (p *prompts) question(ctx context.Context, w *wizard.Wizard, q wizard.Question) error {
	for i, o := range q.Options {
		p.say(fmt.Sprintf("  %d  ", i+1), o.Label.String())
	}
	for {
		text, err := p.line(ctx, fmt.Sprintf("%s [%s]: ", q.Label, shown(q)))
		switch {
		case err != nil:
			return err
		case text == "<":
			return errBack
		case text == "?":
			p.say("  ", q.Help.String())
			continue
		case text == "":
			text = w.Answered(q.ID)
		case text == "-" && len(q.Options) == 0:
			text = "" // what follows without an answer
		default:
			text = chosen(q, text)
		}
		if err = w.Answer(q.ID, text); err == nil {
			return nil
		}
		p.refuse(err)
	}
}

func (p *prompts) refuse(err error) {
	if problems, ok := errors.AsType[config.Problems](err); ok {
		for _, problem := range problems {
			p.say("  ! ", problem.Message+"; "+problem.Advice)
		}
		return
	}
	p.say("  ! ", err.Error())
}

// say writes text behind a mark, and what does not fit into the line below it.
func (p *prompts) say(mark, text string) {
	wrapped := wordwrap.WrapString(text, uint(width-len(mark)))
	fmt.Fprintln(p.out, mark+strings.ReplaceAll(wrapped, "\n", "\n"+strings.Repeat(" ", len(mark))))
}

// shown is what Enter means.
func shown(q wizard.Question) string {
	for i, o := range q.Options {
		if o.Value == q.Value {
			return strconv.Itoa(i + 1)
		}
	}
	if q.Value == "" {
		return "none"
	}
	return q.Value
}

// chosen turns the number of an option into what it stands for.
func chosen(q wizard.Question, text string) string {
	if n, err := strconv.Atoi(text); err == nil && n >= 1 && n <= len(q.Options) {
		return q.Options[n-1].Value
	}
	return text
}

// line reads one. The end of the input is an error: without a person there is nobody to ask.
func (p *prompts) line(ctx context.Context, question string) (string, error) {
	fmt.Fprint(p.out, question)
	text, err := readLine(ctx, p.in)
	if errors.Is(err, io.EOF) {
		return "", Exit(CodeUsage, Advise(errors.New("the answers ended before the last question"), "run it again: nothing was changed"))
	}
	return text, err
}
