package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// noData are the commands without -o json, with what they do instead of printing data.
var noData = map[string]string{
	"":                     "prints its help",
	"addon render":         "prints a manifest",
	"app exec":             "has the output of another program",
	"app logs":             "prints a log",
	"app remove":           "does one thing",
	"completion":           "prints a script",
	"component logs":       "prints a log",
	"component restart":    "does one thing",
	"config example":       "prints an answer file",
	"config schema":        "prints JSON already",
	"dashboard":            "shows a screen",
	"ctr":                  "has the output of another program",
	"env remove":           "does one thing",
	"kubectl":              "has the output of another program",
	"lab cut":              "does one thing",
	"lab demo":             "tells a story",
	"lab down":             "does one thing",
	"lab exec":             "has the output of another program",
	"lab forward":          "passes bytes on",
	"lab heal":             "does one thing",
	"lab kill":             "does one thing",
	"lab logs":             "prints a log",
	"lab service":          "does one thing",
	"lab start":            "does one thing",
	"lab stop":             "does one thing",
	"node approve":         "does one thing",
	"node cordon":          "does one thing",
	"node drain":           "does one thing",
	"node label":           "does one thing",
	"node refuse":          "does one thing",
	"node remove":          "does one thing",
	"node uncordon":        "does one thing",
	"registry user remove": "does one thing",
	"service remove":       "does one thing",
	"service unbind":       "does one thing",
	"tenant remove":        "does one thing",
	"server":               "runs until it is stopped",
}

// othersArguments are the commands whose arguments belong to another program.
var othersArguments = []string{"kubectl", "ctr"}

// Every command of the whole tree explains itself with an example that names it, belongs to a group, prints its data as JSON too, and
// has completion for its arguments and for the value of each of its flags.
func TestEveryCommand(t *testing.T) {
	t.Parallel()
	root := newRoot(NewEnv(Stdio{}))
	seen := map[string]bool{}
	walk(root, func(cmd *cobra.Command) {
		name := ""
		if cmd != root {
			name = commandName(cmd)
		}
		seen[name] = true
		if cmd.Short == "" || cmd.Long == "" || !strings.Contains(cmd.Example, "appliance "+name) {
			t.Errorf("%s: lacks Short, Long or an Example with its name", cmd.CommandPath())
		}
		if cmd.Parent() == root && cmd.GroupID == "" {
			t.Errorf("%s: is in no group", cmd.CommandPath())
		}
		if cmd.Run != nil {
			t.Errorf("%s: has Run; want RunE, so that its errors get an exit code", cmd.CommandPath())
		}
		if cmd.HasSubCommands() {
			return
		}
		_, silent := noData[name]
		if prints := cmd.Flags().Lookup("output") != nil; prints == silent {
			t.Errorf("%s: has -o: %t, is in noData: %t", cmd.CommandPath(), prints, silent)
		}
		if takesArguments(cmd) && cmd.ValidArgsFunction == nil && cmd.ValidArgs == nil && !slices.Contains(othersArguments, name) {
			t.Errorf("%s: has no completion for its arguments", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if _, has := cmd.GetFlagCompletionFunc(f.Name); !has && f.NoOptDefVal == "" {
				t.Errorf("%s: has no completion for the value of --%s", cmd.CommandPath(), f.Name)
			}
			if f.Usage == "" {
				t.Errorf("%s: --%s is not explained", cmd.CommandPath(), f.Name)
			}
		})
	})
	for name := range noData {
		if !seen[name] {
			t.Errorf("noData has %q, which is no command", name)
		}
	}
	if len(seen) < 60 {
		t.Errorf("only %d commands were seen", len(seen))
	}
}

func takesArguments(cmd *cobra.Command) bool {
	if cmd.Args == nil {
		return true
	}
	return slices.ContainsFunc([]int{1, 2}, func(n int) bool { return cmd.Args(cmd, make([]string, n)) == nil })
}

// A shell offers what a flag may be, files where it names one, and nothing where only the operator knows.
func TestFlagsComplete(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"status", "-o", ""}, "text\njson\n:4"},
		{[]string{"status", "--log-level", ""}, "debug\ninfo\nwarn\nerror\n:4"},
		{[]string{"status", "--wait", ""}, ":4"},
		{[]string{"install", "--config", ""}, ":0"},
		{[]string{"lab", "up", "--dir", ""}, ":16"},
		{[]string{"config", "validate", ""}, ":0"},
		{[]string{"token", "create", "--role", ""}, "agent\nserver\n:4"},
		{[]string{"completion", ""}, "bash\nzsh\nfish\n:4"},
	} {
		got := call(t, "/proc/self/exe", append([]string{"__complete"}, c.args...)...)
		if out := strings.TrimSpace(got.out); out != c.want {
			t.Errorf("%q: %q, want %q", c.args, out, c.want)
		}
	}
}
