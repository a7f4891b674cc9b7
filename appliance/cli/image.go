package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/layout"
	"islet/appliance/progress"
	"islet/appliance/registry"
	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
	"islet/appliance/runtime"
	"islet/bundle"
)

func newImageCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "image",
		Short:   "Show, upload and prune images",
		GroupID: groupLook,
		Long: `Shows the images that the bundle carries, that this node has, and that were pushed to the site's registry; puts archives
of images into the registry; and deletes what nothing uses any more.`,
		Example: `  appliance image list
  appliance image upload shop.tar
  appliance image prune`,
	}
	cmd.AddCommand(newImageListCommand(env), newImageUploadCommand(env), newImagePruneCommand(env))
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
	From      string `json:"from"` // bundle, registry (pushed), or node
}

func newImageListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List images with digest, size and source",
		Args:  cobra.NoArgs,
		Long: `Lists the images of the bundle, on a server those that were pushed or uploaded to its registry, and on any node those that
it has otherwise. For each it says whether the node has it, and whether it is pinned against deletion.`,
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
	rows, err := carriedRows(ctx, env)
	if err != nil {
		return nil, err
	}
	c, l, err := installed()
	if err != nil {
		return rows, nil //nolint:nilerr // not a node: the bundle's list is all there is
	}
	if c.Node.Role == config.RoleServer {
		pushed, err := pushedRows(ctx, l)
		if err != nil && !errors.Is(err, client.ErrUnreachable) && !errors.Is(err, fs.ErrNotExist) { // one that is down, or never ran, has no list
			return nil, explainRegistry(err)
		}
		rows = append(rows, pushed...)
	}
	if have, err := runtime.ListImages(ctx, l.ContainerdSocket()); err == nil { // else the columns stay empty, which says so
		rows = mergeHave(rows, have)
	}
	return rows, nil
}

// carriedRows are the images of the bundle.
func carriedRows(ctx context.Context, env *Env) ([]imageRow, error) {
	b, err := env.OpenBundle("")
	if err != nil {
		return nil, err
	}
	defer b.Close()
	var rows []imageRow
	for _, c := range b.Components() {
		if c.Kind != bundle.KindImage {
			continue
		}
		manifest, err := b.Manifest(ctx, c.Descriptor)
		if err != nil {
			return nil, err
		}
		row := imageRow{Reference: c.Reference, Digest: c.Descriptor.Digest.String(), From: "bundle"}
		for _, layer := range manifest.Layers {
			row.Bytes += layer.Size
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// pushedRows are the tags in this server's registry.
func pushedRows(ctx context.Context, l layout.Layout) ([]imageRow, error) {
	c, err := registry.Dial(l)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all, err := c.Repositories(ctx, "")
	if err != nil {
		return nil, err
	}
	var rows []imageRow
	for _, name := range slices.Sorted(maps.Keys(all)) {
		for _, tag := range all[name].TagNames() {
			d := all[name].Tags[tag].Digest
			raw, mediaType, err := c.Manifest(ctx, name, d.String())
			if err != nil {
				return nil, err
			}
			refs, err := content.ParseManifest(mediaType, raw)
			if err != nil {
				return nil, err
			}
			row := imageRow{Reference: name + ":" + tag, Digest: d.String(), From: "registry"}
			for _, b := range refs.Blobs {
				row.Bytes += b.Size
			}
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// mergeHave adds what the node says it has.
func mergeHave(rows []imageRow, have []runtime.Present) []imageRow {
	known := map[string]int{}
	for i := range rows {
		rows[i].Present, rows[i].Pinned = new(bool), new(bool)
		known[rows[i].Reference] = i
	}
	for _, image := range have {
		i, ok := known[image.Reference]
		if !ok {
			i = len(rows)
			rows = append(rows, imageRow{Reference: image.Reference, Digest: image.Digest, Present: new(bool), Pinned: new(bool), From: "node"})
		}
		*rows[i].Present = image.Unpacked && rows[i].Digest == image.Digest
		*rows[i].Pinned, rows[i].Source = image.Pinned, image.Source
	}
	return rows
}

func printImages(out io.Writer, rows []imageRow) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tDIGEST\tSIZE\tFROM\tON THIS NODE\tPINNED")
	for _, r := range rows {
		size := "-"
		if r.Bytes > 0 {
			size = progress.Bytes(r.Bytes)
		}
		fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\t%s\t%s\n", r.Reference, r.Digest, size, r.From, yesNo(r.Present), yesNo(r.Pinned))
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
