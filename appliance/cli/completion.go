package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

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
