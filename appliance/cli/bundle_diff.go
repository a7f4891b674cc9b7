package cli

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/progress"
	"islet/bundle"
)

func newBundleDiffCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "diff OLD NEW",
		Short: "Compare two bundles",
		Long: `diff shows which components differ between two bundles, and how many bytes of NEW are not in OLD already. It
compares digests, so it takes the tables of contents only and no time. Differences are no error: the exit code is 0.`,
		Example: `  appliance bundle diff islet-0.1.0.bundle islet-0.2.0.bundle
  appliance bundle diff /usr/local/bin/appliance islet-0.2.0.bundle -o json | jq .added.bytes`,
		Args: cobra.ExactArgs(2), ValidArgsFunction: completeFiles,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		from, err := e.PeekBundle(args[0])
		if err != nil {
			return err
		}
		defer from.Close()
		to, err := e.PeekBundle(args[1])
		if err != nil {
			return err
		}
		defer to.Close()
		d := bundle.Diff(from.Index(), to.Index())
		return e.Print(*format, d, func(w io.Writer) error { return printDifference(w, d) })
	}
	return cmd
}

func printDifference(w io.Writer, d bundle.Difference) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, row := range []struct {
		name   string
		volume bundle.Volume
	}{{"added", d.Added}, {"removed", d.Removed}, {"shared", d.Shared}} {
		fmt.Fprintf(table, "%s\t%d blobs\t%s\n", row.name, row.volume.Blobs, progress.Bytes(row.volume.Bytes))
	}
	fmt.Fprintf(table, "\n%d components unchanged, %d changed\n", d.Unchanged, len(d.Changes))
	for _, c := range d.Changes {
		fmt.Fprintf(table, "%s %s\t%s\n", changeSign(c), c.Kind, c.Name+"  "+changeVersions(c))
	}
	return table.Flush()
}

func changeSign(c bundle.Change) string {
	switch {
	case c.From == "":
		return "+"
	case c.To == "":
		return "-"
	}
	return "~"
}

func changeVersions(c bundle.Change) string {
	switch {
	case c.From == "":
		return orDash(c.ToVersion)
	case c.To == "":
		return orDash(c.FromVersion)
	case c.FromVersion == c.ToVersion:
		return fmt.Sprintf("%s (%.19s to %.19s)", orDash(c.ToVersion), c.From, c.To)
	}
	return orDash(c.FromVersion) + " to " + orDash(c.ToVersion)
}
