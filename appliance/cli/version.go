package cli

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"islet/appliance/version"
	"islet/appliance/wizard"
	"islet/bundle"
	"islet/bundle/trust"
)

// versionReport is what `version -o json` prints.
type versionReport struct {
	version.Info
	Bundle *bundleSummary `json:"bundle,omitempty"`
}

func newVersionCommand(e *Env) *cobra.Command {
	short := false
	cmd := &cobra.Command{
		Use:     "version",
		GroupID: groupLook,
		Short:   "Show the version of this file and of everything in it",
		Long: `version prints the version of this executable, then each component of the bundle inside it (or of --bundle FILE)
with its version and digest. It reads the bundle's table of contents only: it does not check the content, which
"appliance bundle verify" does.`,
		Example: `  appliance version
  appliance version --short
  appliance version -o json | jq -r '.bundle.components[] | [.kind, .name, .version, .digest] | @tsv'`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().BoolVar(&short, "short", false, "print the executable's version only, without opening the bundle")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		report := versionReport{Info: e.Build}
		if short {
			return e.Print(*format, report, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, e.Build.Version)
				return err
			})
		}
		r, err := e.PeekBundle("")
		switch {
		case err == nil:
			defer r.Close()
			report.Bundle = summarize(r)
		case errors.Is(err, bundle.ErrForeign) && e.BundlePath() == e.Executable:
			// an executable without a payload still has a version
		default:
			return err
		}
		return e.Print(*format, report, report.print)
	}
	return cmd
}

func (v versionReport) print(w io.Writer) error {
	fmt.Fprintf(w, "appliance %s, %s, %s\n", v.Info, v.Platform, v.Go)
	if v.Bundle == nil {
		_, err := fmt.Fprintln(w, "no bundle inside; name one with --bundle FILE")
		return err
	}
	fmt.Fprintf(w, "bundle %s %s, %s\n\n", v.Bundle.Name, v.Bundle.Version, v.Bundle.signedBy())
	return printComponents(w, v.Bundle.Components)
}

// printComponents writes a table; SBOMs are counted, not listed.
func printComponents(w io.Writer, components []componentSummary) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tNAME\tVERSION\tDIGEST")
	sboms := 0
	for _, c := range components {
		if c.Kind == bundle.KindSBOM {
			sboms++
			continue
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.19s\n", c.Kind, c.Name, orDash(c.Version), c.Digest)
	}
	if sboms > 0 {
		fmt.Fprintf(table, "%s\t(%d documents)\t-\t-\n", bundle.KindSBOM, sboms)
	}
	return table.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// signedBy says in words what the signature is worth.
func (b *bundleSummary) signedBy() string { return b.signature().String() }

func (b *bundleSummary) signature() wizard.Text {
	switch {
	case b.Signature.State == bundle.Unsigned:
		return wizard.Text{Format: "NOT SIGNED"}
	case b.Signature.State == bundle.Untrusted:
		return wizard.Text{Format: "signed by a key that is NOT TRUSTED here (%s)", Args: []any{b.Signature.KeyIDs[0]}}
	case b.Signature.KeyClass == trust.Dev:
		return wizard.Text{Format: "signed by the DEVELOPMENT key %s: not for production", Args: []any{b.Signature.KeyName}}
	}
	return wizard.Text{Format: "signed by %s key %s", Args: []any{string(b.Signature.KeyClass), b.Signature.KeyName}}
}
