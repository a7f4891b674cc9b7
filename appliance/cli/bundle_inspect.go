package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/progress"
	"islet/appliance/server"
	"islet/bundle"
)

// kindPlatform is the kind of a bundle that nodes run from.
const kindPlatform = "platform"

func newBundleInspectCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "inspect [FILE]",
		Short: "Show what a bundle holds and who signed it",
		Long: `inspect shows a bundle's name, version, signature and components. It opens unsigned and untrusted bundles too and
says so; it reads the table of contents only. To check the content use "appliance bundle verify".`,
		Example: `  appliance bundle inspect
  appliance bundle inspect islet-0.2.0.bundle
  appliance bundle inspect islet-0.2.0.bundle -o json | jq .signature`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeFiles,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		r, err := e.PeekBundle(optionalFile(args))
		if err != nil {
			return err
		}
		defer r.Close()
		s := summarize(r)
		return e.Print(*format, s, s.print)
	}
	return cmd
}

func (b *bundleSummary) print(w io.Writer) error {
	for _, row := range [][2]string{
		{"file", b.File},
		{"bundle", fmt.Sprintf("%s %s (%s, format %d)", b.Name, b.Version, b.Kind, b.Format)},
		{"created", b.Created.Format(time.RFC3339)},
		{"digest", b.Digest.String()},
		{"signature", b.signedBy()},
		{"size", fmt.Sprintf("%s at byte %d, %d blobs of %s", progress.Bytes(b.Size), b.Offset, b.Blobs, progress.Bytes(b.BlobBytes))},
	} {
		fmt.Fprintf(w, "%-10s %s\n", row[0]+":", row[1])
	}
	fmt.Fprintln(w)
	return printComponents(w, b.Components)
}

func newBundleVerifyCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Check the signature and every byte of a bundle",
		Long: `verify insists on a signature by a trusted key, then reads the whole bundle once and compares every byte with what
the signed table of contents says. It lists every damaged blob, not only the first. Of a platform's bundle it also
renders every manifest and looks for each image that one asks for. Nothing is written.`,
		Example: `  appliance bundle verify islet-0.2.0.bundle
  appliance bundle verify                        # the bundle inside this executable
  appliance bundle verify FILE -o json && echo good`,
		Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeFiles,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r, err := e.OpenBundle(optionalFile(args))
		if err != nil {
			return err
		}
		defer r.Close()
		task := progress.New(e.Stdio.Err).Start("verify "+r.Index().Name, r.Index().Archive.Size)
		err = r.VerifyAll(cmd.Context(), task.Set)
		task.Done(err)
		if err != nil {
			return err
		}
		if r.Index().Kind == kindPlatform {
			err := server.CheckAddons(cmd.Context(), r)
			if err != nil {
				return Exit(CodeInvalidBundle, Advise(err, "this file is whole but was put together wrongly: ask for a new one where it was made"))
			}
		}
		return e.Print(*format, verifyReport{File: r.Source(), OK: true, Bytes: r.Size(), Signature: r.Signature()}, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s: good: %d blobs, %s, %s\n", r.Source(), len(r.Index().Blobs), progress.Bytes(r.Size()), summarize(r).signedBy())
			return err
		})
	}
	return cmd
}

// verifyReport is what `bundle verify -o json` prints for a good bundle; a bad one is an error and an exit code.
type verifyReport struct {
	File      string           `json:"file"`
	OK        bool             `json:"ok"`
	Bytes     int64            `json:"bytes"`
	Signature bundle.Signature `json:"signature"`
}
