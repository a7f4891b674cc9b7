package cli

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/progress"
	"islet/appliance/runtime"
	"islet/bundle"
)

func newImageCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Short:   "Show the images that this file carries and this node has",
		GroupID: groupLook,
		Long:    `Shows images: those that the bundle carries, and whether this node has each of them unpacked and pinned.`,
		Example: `  appliance image list`,
	}
	cmd.AddCommand(newImageListCommand(env))
	return cmd
}

// imageRow is a line of `image list`. Present and Pinned are nil where no containerd answers.
type imageRow struct {
	Reference string `json:"reference"`
	Digest    string `json:"digest"`
	Bytes     int64  `json:"bytes"` // of its layers as carried, compressed
	Source    string `json:"source,omitempty"`
	Present   *bool  `json:"present,omitempty"`
	Pinned    *bool  `json:"pinned,omitempty"`
}

func newImageListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List images with digest, size and source",
		Args:  cobra.NoArgs,
		Long: `Lists the images of the bundle. On a node it also says for each whether the node has it, whether it is
pinned against deletion, and where it came from; images that came otherwise are listed after them.`,
		Example: `  appliance image list
  appliance image list -o json --bundle islet.bundle`,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		rows, err := imageRows(cmd.Context(), env)
		if err != nil {
			return err
		}
		return env.Print(*format, rows, func(w io.Writer) error { return printImages(w, rows) })
	}
	return cmd
}

func imageRows(ctx context.Context, env *Env) ([]imageRow, error) {
	b, err := env.OpenBundle("")
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var rows []imageRow
	carried := map[string]int{}
	for _, c := range b.Components() {
		if c.Kind != bundle.KindImage {
			continue
		}
		manifest, err := b.Manifest(ctx, c.Descriptor)
		if err != nil {
			return nil, err
		}
		row := imageRow{Reference: c.Reference, Digest: c.Descriptor.Digest.String()}
		for _, layer := range manifest.Layers {
			row.Bytes += layer.Size
		}
		carried[c.Reference] = len(rows)
		rows = append(rows, row)
	}
	_, l, err := installed()
	if err != nil {
		return rows, nil // not a node: the bundle's list is all there is
	}
	have, err := runtime.ListImages(ctx, l.ContainerdSocket())
	if err != nil {
		return rows, nil // containerd is down: the column stays empty, which says so
	}
	for i := range rows {
		rows[i].Present, rows[i].Pinned = new(bool), new(bool)
	}
	for _, image := range have {
		i, ok := carried[image.Reference]
		if !ok {
			i = len(rows)
			rows = append(rows, imageRow{Reference: image.Reference, Digest: image.Digest, Present: new(bool), Pinned: new(bool)})
		}
		*rows[i].Present = image.Unpacked && rows[i].Digest == image.Digest
		*rows[i].Pinned, rows[i].Source = image.Pinned, image.Source
	}
	return rows, nil
}

func printImages(out io.Writer, rows []imageRow) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tDIGEST\tSIZE\tON THIS NODE\tPINNED")
	for _, r := range rows {
		size := "-"
		if r.Bytes > 0 {
			size = progress.Bytes(r.Bytes)
		}
		fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\t%s\n", r.Reference, r.Digest, size, yesNo(r.Present), yesNo(r.Pinned))
	}
	return w.Flush()
}

func yesNo(b *bool) string {
	switch {
	case b == nil:
		return "unknown"
	case *b:
		return "yes"
	}
	return "no"
}
