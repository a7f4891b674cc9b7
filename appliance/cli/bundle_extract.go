package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"islet/appliance/progress"
	"islet/bundle"
)

// extractReport is what `bundle extract -o json` prints.
type extractReport struct {
	Dir        string             `json:"dir"`
	Components []componentSummary `json:"components"`
}

func newBundleExtractCommand(e *Env) *cobra.Command {
	var dir string
	var only []string
	var files bool
	cmd := &cobra.Command{
		Use:   "extract [FILE] --out DIR [--only KIND/NAME]...",
		Short: "Write a bundle's components to a directory",
		Long: `extract writes components, by default all, to DIR as an OCI image layout: what other OCI tools read, and what
"bundle create" takes. With --files, DIR gets the decompressed files of engines instead. Everything is verified on its
way, and the bundle has to be signed by a trusted key. A file is written in full or not at all.`,
		Example: `  appliance bundle extract islet-0.2.0.bundle --out /srv/layout
  appliance bundle extract --only image/registry.islet.internal/pause:3.10 --out /tmp/pause
  appliance bundle extract --only engine/kube --files --out /tmp/kube`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeFiles,
	}
	cmd.Flags().StringVar(&dir, "out", "", "`DIR` to write to; made if it is not there")
	cmd.Flags().StringArrayVar(&only, "only", nil, "take this component, as `KIND/NAME`; may be repeated")
	cmd.Flags().BoolVar(&files, "files", false, "write the files of engines, decompressed, instead of an image layout")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // a flag of the lines above
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := e.OpenBundle(optionalFile(args))
		if err != nil {
			return err
		}
		defer r.Close()
		chosen, err := chooseComponents(r, only, files)
		if err != nil {
			return err
		}
		if err := extract(cmd, e, r, dir, chosen, files); err != nil {
			return err
		}
		report := extractReport{Dir: dir, Components: summarizeComponents(chosen)}
		return e.Print(*format, report, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%d components of %s %s in %s\n", len(chosen), r.Index().Name, r.Index().Version, dir)
			return err
		})
	}
	return cmd
}

func extract(cmd *cobra.Command, e *Env, r *bundle.Reader, dir string, chosen []bundle.Component, files bool) error {
	if files {
		for _, engine := range chosen {
			if err := r.ExtractEngine(cmd.Context(), dir, engine); err != nil {
				return err
			}
		}
		return nil
	}
	task := progress.New(e.Stdio.Err).Start("extract "+r.Index().Name, 0)
	err := r.Extract(cmd.Context(), dir, chosen, task.Set)
	task.Done(err)
	if errors.Is(err, os.ErrExist) {
		return Exit(CodeExists, Advise(err, "choose an empty or new directory for --out"))
	}
	return err
}

// chooseComponents returns the named components, with the SBOMs that describe them, or all if none is named.
func chooseComponents(r *bundle.Reader, only []string, enginesOnly bool) ([]bundle.Component, error) {
	var chosen []bundle.Component
	if len(only) == 0 {
		for _, c := range r.Components() {
			if !enginesOnly || c.Kind == bundle.KindEngine {
				chosen = append(chosen, c)
			}
		}
		return chosen, nil
	}
	for _, name := range only {
		kind, name, ok := strings.Cut(name, "/")
		if !ok || name == "" {
			return nil, Exit(CodeUsage, fmt.Errorf("--only %q: want KIND/NAME, such as engine/kube", kind))
		}
		c, err := r.Find(bundle.Kind(kind), name)
		if err != nil {
			return nil, err
		}
		if enginesOnly && c.Kind != bundle.KindEngine {
			return nil, Exit(CodeUsage, fmt.Errorf("--files is for engines; %s is a %s", name, kind))
		}
		chosen = append(chosen, c)
		if !enginesOnly {
			chosen = append(chosen, r.Referrers(c.Descriptor.Digest)...)
		}
	}
	return chosen, nil
}
