package cli

import (
	"crypto/ed25519"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/progress"
	"islet/bundle"
	"islet/bundle/trust"
)

type createFlags struct {
	out      string
	keys     []string
	unsigned bool
	options  bundle.Options
}

func newBundleCreateCommand(e *Env) *cobra.Command {
	f := new(createFlags)
	cmd := &cobra.Command{
		Use:   "create --layout DIR... --out FILE --name NAME --version VERSION (--key FILE | --unsigned)",
		Short: "Make a bundle from OCI image layouts",
		Long: `create merges OCI image layouts into one bundle: each blob is verified and stored once. The same layouts, flags and
SOURCE_DATE_EPOCH give the same bytes. With --executable the bundle is appended to a copy of that executable, taking the
place of one it carries. FILE is replaced in one step, when all went well.

A layout's index.json says what each manifest is by its annotations: see docs/bundle-format.md.`,
		Example: `  appliance bundle create --layout build/engines --layout build/images --name islet --version 0.2.0 \
      --key build/keys/development.key --out islet-0.2.0.bundle
  appliance bundle create --layout build/images --executable bin/appliance --name islet --version 0.2.0 \
      --key /media/offline/release.key --out appliance`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&f.options.Layouts, "layout", nil, "`DIR` with an OCI image layout; may be repeated, the order does not matter")
	flags.StringVar(&f.out, "out", "", "`FILE` to write")
	flags.StringVar(&f.options.Name, "name", "", "the bundle's `NAME`")
	flags.StringVar(&f.options.Version, "version", "", "the bundle's `VERSION`")
	flags.StringVar(&f.options.Kind, "kind", kindPlatform, "what the bundle is for: platform or application")
	flags.StringVar(&f.options.Executable, "executable", "", "copy this executable `FILE` in front of the bundle")
	flags.StringArrayVar(&f.keys, "key", nil, "sign with the ed25519 private key in `FILE` (PKCS #8 PEM); may be repeated")
	flags.BoolVar(&f.unsigned, "unsigned", false, "leave the bundle unsigned; only inspect and diff will open it")
	for _, name := range []string{"layout", "out", "name", "version"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // a flag of the lines above
		}
	}
	cmd.MarkFlagsOneRequired("key", "unsigned")
	cmd.MarkFlagsMutuallyExclusive("key", "unsigned")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd, e, *format) }
	return cmd
}

func (f *createFlags) run(cmd *cobra.Command, e *Env, format Format) error {
	if err := f.complete(e); err != nil {
		return err
	}
	task := progress.New(e.Stdio.Err).Start("create "+f.out, 0)
	f.options.Progress = task.Set
	_, err := bundle.WriteFile(cmd.Context(), f.out, f.options)
	task.Done(err)
	if err != nil {
		return fmt.Errorf("create bundle: %w", err)
	}
	r, err := e.PeekBundle(f.out)
	if err != nil {
		return fmt.Errorf("open the bundle just made: %w", err)
	}
	defer r.Close()
	s := summarize(r)
	return e.Print(format, s, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s %s, %d components, %s, %s\n", s.File, s.Name, s.Version, len(s.Components), progress.Bytes(s.Size), s.signedBy())
		return err
	})
}

// complete reads what the flags point to.
func (f *createFlags) complete(e *Env) error {
	created, err := sourceDate(e.Getenv("SOURCE_DATE_EPOCH"), time.Now())
	if err != nil {
		return Exit(CodeUsage, err)
	}
	f.options.Created = created
	f.options.Signers = []ed25519.PrivateKey{}
	for _, path := range f.keys {
		key, err := trust.ReadPrivate(path)
		if err != nil {
			return Advise(err, "`openssl genpkey -algorithm ed25519` and `appliance bundle keygen` write such keys")
		}
		f.options.Signers = append(f.options.Signers, key)
	}
	return nil
}

// sourceDate is the time stamp that builds agree on, or the fallback where none is set.
func sourceDate(epoch string, fallback time.Time) (time.Time, error) {
	if epoch == "" {
		return fallback, nil
	}
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH %q: want seconds since 1970", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
