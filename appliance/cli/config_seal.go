package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/paas/configset"
	"islet/appliance/pki"
)

// siteKeyReport is the JSON form of a site's public key.
type siteKeyReport struct {
	SiteKey string `json:"siteKey"`
}

func newConfigKeyCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Print the key that secrets for this site are sealed with", Args: cobra.NoArgs,
		Long: `Prints the public half of the site's key. It is no secret: give it to those who deliver. What is sealed with it, servers of this site alone
can read; their half is derived from what the datastore is encrypted with, so it is in the site's backups and nowhere else.`,
		Example: "  appliance config key",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		_, l, err := openServer("look at the site's keys")
		if err != nil {
			return err
		}
		store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
		if err != nil {
			return Advise(err, "the authorities are made when `appliance server` first starts")
		}
		keys, err := siteKeys(store)
		if err != nil {
			return err
		}
		return env.Print(*format, siteKeyReport{keys.SiteKey().String()}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, keys.SiteKey())
			return err
		})
	}
	return cmd
}

// sealedReport is the JSON form of a sealed value.
type sealedReport struct {
	Tenant string `json:"tenant"`
	Key    string `json:"key"`
	Sealed string `json:"sealed"`
}

func newConfigSealCommand(env *Env) *cobra.Command {
	var siteKey string
	cmd := &cobra.Command{
		Use: "seal TENANT KEY FILE", Short: "Seal a secret for a site, on any machine", Args: cobra.ExactArgs(3), ValidArgsFunction: completeFiles,
		Long: `Reads a secret from FILE, - for standard input, without the line break at its end, and prints it sealed with a site's public key (` + "`appliance config key`" + `
there). It needs no site. What it prints may be in files and bundles that anybody sees. It is good for that key of that tenant only.`,
		Example: `  appliance config seal press DB_PASSWORD - --site-key age1... > db-password.sealed
  appliance config set press-prod --sealed DB_PASSWORD=db-password.sealed`,
	}
	cmd.Flags().StringVar(&siteKey, "site-key", "", "the site's public `KEY`")
	if err := cmd.MarkFlagRequired("site-key"); err != nil {
		panic(err) // the flag of the line above
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		key, err := configset.ParseSiteKey(siteKey)
		if err != nil {
			return Exit(CodeUsage, Advise(fmt.Errorf("--site-key: %w", err), "`appliance config key` on a server of the site prints it"))
		}
		text, err := readValue(env, args[2])
		if err != nil {
			return err
		}
		sealed, err := key.Seal(args[0], args[1], strings.TrimSuffix(text, "\n"))
		if err != nil {
			return Exit(CodeRefused, err)
		}
		return env.Print(*format, sealedReport{args[0], args[1], sealed}, func(w io.Writer) error {
			_, err := io.WriteString(w, sealed)
			return err
		})
	}
	return cmd
}
