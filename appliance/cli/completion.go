package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// completeFiles offers files to a shell, for an argument that names one.
func completeFiles(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// completeDirs offers directories.
func completeDirs(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

// completeValues gives every flag below cmd that takes a value its completion, where a command has not done so: files and
// directories by the name of the value in its help, and nothing for what only the operator knows. Without it a shell would offer
// files for everything.
func completeValues(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		completeValues(sub)
	}
	add := func(f *pflag.Flag) {
		if _, has := cmd.GetFlagCompletionFunc(f.Name); has || f.NoOptDefVal != "" {
			return
		}
		complete := cobra.NoFileCompletions
		switch value, _ := pflag.UnquoteUsage(f); {
		case slices.Contains([]string{"FILE", "HOST=FILE"}, value):
			complete = completeFiles
		case slices.Contains([]string{"DIR", "PATH"}, value):
			complete = completeDirs
		}
		if err := cmd.RegisterFlagCompletionFunc(f.Name, complete); err != nil {
			panic(err) // the flag is this command's
		}
	}
	cmd.LocalNonPersistentFlags().VisitAll(add)
	cmd.PersistentFlags().VisitAll(add)
}

// offer is the completion of a flag that takes one of a few values.
func offer(cmd *cobra.Command, flag string, values ...string) {
	if err := cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp)); err != nil {
		panic(err) // its caller has just added the flag
	}
}

func newCompletionCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "completion bash|zsh|fish",
		GroupID: groupTool,
		Short:   "Print a shell completion script",
		Long:    "completion prints a script that teaches a shell to complete appliance's commands and flags.",
		Example: `  source <(appliance completion bash)                                    for this shell
  appliance completion bash > /etc/bash_completion.d/appliance           for all to come
  appliance completion zsh > "${fpath[1]}/_appliance"
  appliance completion fish > ~/.config/fish/completions/appliance.fish`,
		ValidArgs: []cobra.Completion{"bash", "zsh", "fish"},
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			switch args[0] {
			case "bash":
				err = cmd.Root().GenBashCompletionV2(e.Stdio.Out, true)
			case "zsh":
				err = cmd.Root().GenZshCompletion(e.Stdio.Out)
			case "fish":
				err = cmd.Root().GenFishCompletion(e.Stdio.Out, true)
			}
			if err != nil {
				return fmt.Errorf("write %s completion: %w", args[0], err)
			}
			return nil
		},
	}
}
