package cli

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"islet/bundle/trust"
)

// keyReport is what `bundle keygen -o json` prints. RootKey is for the linker flag of trust.rootKeys.
type keyReport struct {
	Private string      `json:"private"`
	Public  string      `json:"public"`
	ID      string      `json:"id"`
	Class   trust.Class `json:"class"`
	RootKey string      `json:"rootKey"`
}

func newBundleKeygenCommand(e *Env) *cobra.Command {
	var dir, name string
	var dev, release bool
	cmd := &cobra.Command{
		Use:   "keygen --out DIR [--dev | --release] [--name NAME]",
		Short: "Make a key pair for signing bundles",
		Long: `keygen writes NAME.key, the private half, and NAME.pub, the public one. A site that signs bundles of its own puts
NAME.pub into /etc/appliance/trust.d on its nodes. With --dev the files and everything signed with them are marked as
development: a build makes such a key for itself. A key with --release belongs on a machine without network.
Files that exist are never overwritten.`,
		Example: `  appliance bundle keygen --name our-site --out /root/keys
  appliance bundle keygen --dev --out build/keys`,
		Args: cobra.NoArgs,
	}
	cmd.Flags().StringVar(&dir, "out", "", "`DIR` to write to")
	cmd.Flags().StringVar(&name, "name", "", "`NAME` of the key (default: development, release or site)")
	cmd.Flags().BoolVar(&dev, "dev", false, "mark it as a development key")
	cmd.Flags().BoolVar(&release, "release", false, "mark it as a publisher's release key")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // a flag of the lines above
	}
	cmd.MarkFlagsMutuallyExclusive("dev", "release")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		class, fallback := trust.Site, "site"
		switch {
		case dev:
			class, fallback = trust.Dev, "development"
		case release:
			class, fallback = trust.Release, "release"
		}
		if name == "" {
			name = fallback
		}
		key, private, public, err := trust.GeneratePair(dir, name, class)
		if err != nil {
			return keygenError(err)
		}
		report := keyReport{Private: private, Public: public, ID: key.ID(), Class: class, RootKey: key.String()}
		return e.Print(*format, report, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "%s key %s (id %s)\nprivate: %s\npublic:  %s\n", class, name, key.ID(), private, public)
			return err
		})
	}
	return cmd
}

func keygenError(err error) error {
	if errors.Is(err, os.ErrExist) {
		return Exit(CodeExists, Advise(err, "choose another --name or --out, or keep using the key that is there"))
	}
	return err
}
