package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"islet/appliance/health"
	"islet/appliance/manual"
	"islet/docs"
)

const (
	paperWidth  = 80  // where no terminal says its own width
	widestLines = 100 // longer ones are hard to read
)

// helpPage is the JSON form of one page.
type helpPage struct {
	manual.Topic
	Text string `json:"text"` // Markdown
}

func newHelpCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "help [TOPIC | PROBLEM | COMMAND]", GroupID: groupTool, Short: "Show a page of the operator's manual, of a problem, or of a command",
		Long: `Shows the operator's manual, which is inside this file. A topic is a page of it; every problem that
` + "`appliance status`" + ` reports is one, too, by the code in brackets. A command that no page is named after shows its own help.

Without a topic it lists them all.`,
		Example: `  appliance help                    list the topics
  appliance help backup
  appliance help disk-slow          the cause of a problem, and what to do
  appliance help servers | less`,
		ValidArgsFunction: completeTopics,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		topics, err := manual.Topics(docs.Pages)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			return env.Print(*format, topics, func(w io.Writer) error { return printTopics(w, topics) })
		}
		topic, err := manual.Find(topics, strings.Join(args, " "))
		if err != nil {
			if other, rest, findErr := cmd.Root().Find(args); findErr == nil && len(rest) == 0 && other != cmd.Root() {
				return other.Help()
			}
			return Exit(CodeUsage, Advise(err, "`appliance help` lists the topics"))
		}
		text, err := topic.Text(docs.Pages)
		if err != nil {
			return err
		}
		return env.Print(*format, helpPage{topic, string(text)}, func(w io.Writer) error {
			return manual.Render(w, text, paper(env))
		})
	}
	return cmd
}

// paper is what pages are shown on. NO_COLOR (no-color.org) asks for no marks at all.
func paper(env *Env) manual.Style {
	out, ok := env.Stdio.Out.(*os.File)
	if !ok || !term.IsTerminal(int(out.Fd())) {
		return manual.Style{Width: paperWidth}
	}
	s := manual.Style{Width: paperWidth, Bold: env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"}
	if width, _, err := term.GetSize(int(out.Fd())); err == nil && width > 0 { // a serial line says 0
		s.Width = min(width, widestLines)
	}
	return s
}

func printTopics(out io.Writer, topics []manual.Topic) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "Topics:")
	problems := false
	titles := map[string]string{}
	for _, p := range health.Catalogue() {
		titles[string(p.Code)] = "... " + p.Title
	}
	for _, t := range topics {
		if t.Problem && !problems {
			problems = true
			fmt.Fprintln(w, "\nProblems:")
		}
		if t.Problem {
			fmt.Fprintf(w, "  %s\t%s\n", t.Name, titles[t.Name])
		} else {
			fmt.Fprintf(w, "  %s\t%s\n", t.Name, t.Title)
		}
	}
	fmt.Fprintln(w, "\n`appliance help TOPIC` shows a page, `appliance COMMAND --help` what a command takes.")
	return w.Flush()
}

func completeTopics(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	topics, err := manual.Topics(docs.Pages)
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []cobra.Completion
	for _, t := range topics {
		names = append(names, cobra.CompletionWithDesc(t.Name, t.Title))
	}
	for _, sub := range cmd.Root().Commands() {
		if _, err := manual.Find(topics, sub.Name()); errors.Is(err, manual.ErrNoTopic) && !sub.Hidden {
			names = append(names, cobra.CompletionWithDesc(sub.Name(), sub.Short))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
