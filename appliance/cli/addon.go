package cli

import (
	"fmt"
	"io"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/addon"
	"islet/appliance/layout"
	"islet/appliance/server"
)

func newAddonCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "addon",
		Short:   "Show what the platform runs inside Kubernetes",
		GroupID: groupLook,
		Long: `Shows the add-ons that the bundle carries, and their manifests as they are applied on this node. The
add-on named sample is not applied by itself: pipe it into kubectl to try the platform.`,
		Example: `  appliance addon list
  appliance addon render sample | appliance kubectl apply -f -`,
	}
	cmd.AddCommand(newAddonListCommand(env), newAddonRenderCommand(env))
	return cmd
}

// addonRow is a line of `addon list`.
type addonRow struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Files   int    `json:"files"`
}

func newAddonListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the add-ons of the bundle",
		Args:    cobra.NoArgs,
		Long:    `Lists the add-ons that the bundle carries, with their versions and digests.`,
		Example: `  appliance addon list -o json`,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := env.OpenBundle("")
		if err != nil {
			return err
		}
		defer b.Close()
		components, err := addon.Load(cmd.Context(), b)
		if err != nil {
			return err
		}
		var rows []addonRow
		for _, c := range components {
			rows = append(rows, addonRow{c.Name, c.Version, c.Digest, len(c.Files)})
		}
		return env.Print(*format, rows, func(out io.Writer) error {
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "ADD-ON\tVERSION\tDIGEST\tFILES")
			for _, r := range rows {
				fmt.Fprintf(w, "%s\t%s\t%.19s\t%d\n", r.Name, r.Version, r.Digest, r.Files)
			}
			return w.Flush()
		})
	}
	return cmd
}

func newAddonRenderCommand(env *Env) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "render NAME",
		Short:   "Print an add-on's manifests, filled in for this node",
		Args:    cobra.ExactArgs(1),
		Long:    `Prints the manifests of one add-on as YAML, with this node's names, addresses and image digests filled in.`,
		Example: `  appliance addon render coredns`,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			if b, err := env.OpenBundle(""); err == nil && len(args) == 0 {
				defer b.Close()
				components, _ := addon.Load(cmd.Context(), b) // a bad bundle: nothing to offer
				for _, c := range components {
					names = append(names, c.Name)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := loadConfig(path)
			if err != nil {
				return err
			}
			b, err := env.OpenBundle("")
			if err != nil {
				return err
			}
			defer b.Close()
			objects, err := server.Render(cmd.Context(), c, filepath.Dir(path), b, args[0])
			if err != nil {
				return err
			}
			text, err := addon.YAML(objects)
			if err != nil {
				return err
			}
			_, err = io.WriteString(env.Stdio.Out, text)
			return err
		},
	}
	cmd.Flags().StringVar(&path, "config", layout.Default().Config(), "the node's answer `FILE`")
	return cmd
}
