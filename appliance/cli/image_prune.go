package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
	"islet/appliance/progress"
	"islet/appliance/registry"
	"islet/appliance/registry/content"
)

func newImagePruneCommand(env *Env) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use: "prune", Short: "Delete pushed images that nothing uses, in two steps", Args: cobra.NoArgs,
		Long: `Without --yes, marks the images in the registry that no pod and no workload of the cluster names, and deletes nothing.
With --yes, deletes those that an earlier run on this server marked and that are still unused, from all servers; what has
become unused since is marked. Old versions that a Deployment could be rolled back to count as used. What the platform
carries is never touched. Run on a server.`,
		Example: `  appliance image prune           what could go
  appliance image prune --yes     some time later: let it go`,
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "delete what an earlier run marked")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		site, err := openCluster()
		if err != nil {
			return err
		}
		l, err := registryServer()
		if err != nil {
			return err
		}
		used, err := site.usedImages(cmd.Context())
		if err != nil {
			return explainCluster(err)
		}
		result, err := prune(cmd.Context(), l, used, yes)
		if err != nil {
			return explainRegistry(err)
		}
		return env.Print(*format, result, func(w io.Writer) error { return result.print(w) })
	}
	return cmd
}

// pruneResult is what `image prune` did.
type pruneResult struct {
	Unused  []unusedImage `json:"unused"`
	Deleted int           `json:"deleted"`
	Freed   int64         `json:"freedBytes"` // on this server, by now
}

// unusedImage is a manifest that nothing uses.
type unusedImage struct {
	Repository string    `json:"repository"`
	Tags       []string  `json:"tags"`
	Digest     string    `json:"digest"`
	Marked     time.Time `json:"marked"`
	Deleted    bool      `json:"deleted"`
}

func (u unusedImage) key() string { return u.Repository + "@" + u.Digest }

// prune marks, and deletes if told to.
func prune(ctx context.Context, l layout.Layout, used usage, yes bool) (pruneResult, error) {
	r := pruneResult{Unused: []unusedImage{}}
	c, err := registry.Dial(l)
	if err != nil {
		return r, err
	}
	defer c.Close()
	all, err := c.Repositories(ctx, "")
	if err != nil {
		return r, err
	}
	marks, err := readMarks(l)
	if err != nil {
		return r, err
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		unused, err := unusedIn(ctx, c, name, all[name], used)
		if err != nil {
			return r, err
		}
		r.Unused = append(r.Unused, unused...)
	}
	kept := map[string]time.Time{}
	for i, image := range r.Unused {
		since, marked := marks[image.key()]
		if !marked {
			since = time.Now().UTC().Truncate(time.Second)
		}
		r.Unused[i].Marked = since
		if !yes || !marked {
			kept[image.key()] = since
			continue
		}
		if err := c.Delete(ctx, image.Repository, image.Digest); err != nil && !errors.Is(err, content.ErrUnknown) {
			return r, err
		}
		r.Unused[i].Deleted = true
		r.Deleted++
	}
	if err := writeMarks(l, kept); err != nil || r.Deleted == 0 {
		return r, err
	}
	swept, err := c.Sweep(ctx)
	r.Freed = swept.Bytes
	return r, err
}

// marksFile is where this server remembers what earlier runs marked, and when.
func marksFile(l layout.Layout) string { return filepath.Join(l.Registry(), "marks.json") }

func readMarks(l layout.Layout) (map[string]time.Time, error) {
	marks := map[string]time.Time{}
	data, err := os.ReadFile(marksFile(l))
	if errors.Is(err, fs.ErrNotExist) {
		return marks, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &marks)
	}
	return marks, err
}

func writeMarks(l layout.Layout, marks map[string]time.Time) error {
	data, err := json.MarshalIndent(marks, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(marksFile(l), data, 0o600)
}

func (r pruneResult) print(out io.Writer) error {
	if len(r.Unused) == 0 {
		_, err := fmt.Fprintln(out, "Every image in the registry is in use.")
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tDIGEST\tMARKED\tNOW")
	for _, u := range r.Unused {
		names := []string{u.Repository}
		if len(u.Tags) > 0 {
			names = nil
			for _, tag := range u.Tags {
				names = append(names, u.Repository+":"+tag)
			}
		}
		now := "marked"
		if u.Deleted {
			now = "deleted"
		}
		for _, name := range names {
			fmt.Fprintf(w, "%s\t%.19s\t%s\t%s\n", name, u.Digest, u.Marked.Local().Format(time.DateTime), now)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if r.Deleted == 0 {
		_, err := fmt.Fprintln(out, "Nothing was deleted. `appliance image prune --yes` deletes what is marked and still unused then.")
		return err
	}
	_, err := fmt.Fprintf(out, "%d deleted, %s freed here so far; parts that were in use within the last hour follow.\n", r.Deleted, progress.Bytes(r.Freed))
	return err
}
