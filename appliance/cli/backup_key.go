package cli

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/install"
	"islet/appliance/setup"
)

func newBackupKeyCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "key", Short: "Make the site's recovery key, or show its public half",
		Long: `The recovery key opens the site's backups. ` + "`appliance install`" + ` makes it and shows it once; the site keeps the public
half only.`,
		Example: `  appliance backup key show
  appliance backup key create --replace     when the key is lost, or somebody may have it`,
	}
	cmd.AddCommand(newBackupKeyCreateCommand(env), newBackupKeyShowCommand(env))
	return cmd
}

// keyMadeReport is the JSON form of a new recovery key.
type keyMadeReport struct {
	RecoveryKey string `json:"recoveryKey,omitempty"`
	Recipient   string `json:"recipient"`
}

func newBackupKeyCreateCommand(env *Env) *cobra.Command {
	var replace bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make a recovery key and print it once", Args: cobra.NoArgs,
		Long: `Makes a recovery key and prints its secret half, which is kept nowhere: write it down, or print it, and keep it away
from the site's machines. With --replace backups from now on are sealed for the new key; those that were made before
still need the old one.`,
		Example: `  appliance backup key create
  appliance backup key create --replace > /mnt/stick/recovery.key`,
	}
	cmd.Flags().BoolVar(&replace, "replace", false, "replace the key that there is")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		c, l, err := openServer("make the site's recovery key")
		if err != nil {
			return err
		}
		old, err := backup.SiteRecipient(l)
		switch {
		case err == nil && !replace:
			return Exit(CodeExists, Advise(fmt.Errorf("this site has a recovery key already: its public half is %s", old),
				"if the secret half is lost, make a new one: appliance backup key create --replace"))
		case err != nil && !errors.Is(err, backup.ErrNoKey) && !replace:
			return err
		}
		key, err := backup.NewKey()
		if err != nil {
			return err
		}
		report := keyMadeReport{key.Secret(), key.Recipient().String()}
		if err := env.Print(*format, report, func(w io.Writer) error {
			fmt.Fprintf(env.Stdio.Err, keyWarning, c.Site.Name, report.Recipient)
			_, err := fmt.Fprintln(w, report.RecoveryKey)
			return err
		}); err != nil {
			return err
		}
		// Only now: a key that nobody has seen would seal what nobody can open.
		return backup.SetSiteRecipient(l, key.Recipient())
	}
	return cmd
}

const keyWarning = `The recovery key of site %s follows. It is shown this once and kept nowhere: write it down, and keep it away from
this machine. Without it no backup can be restored; who has it can read all of them. Its public half is
%s

`

func newBackupKeyShowCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Print the public half of the recovery key", Args: cobra.NoArgs,
		Long:    `Prints what backups of this site are sealed for. It tells which recovery key belongs to the site, and is no secret.`,
		Example: `  appliance backup key show`,
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		_, l, err := openServer("look at the site's keys")
		if err != nil {
			return err
		}
		recipient, err := backup.SiteRecipient(l)
		if err != nil {
			return explainBackup(err)
		}
		return env.Print(*format, keyMadeReport{Recipient: recipient.String()}, func(w io.Writer) error {
			_, err := fmt.Fprintln(w, recipient)
			return err
		})
	}
	return cmd
}

// finishWithKey waits for the node, and shows a site's first server its recovery key. As above, the key is in use only
// when it was shown; after an interruption the next installation makes another.
func (f *installFlags) finishWithKey(ctx context.Context, env *Env, c config.Config, o install.Options, steps []install.Step) error {
	report := installReport{Steps: steps}
	_, err := backup.SiteRecipient(o.Target.Layout)
	if c.Backup.Recipient != "" && c.Node.Role == config.RoleServer && errors.Is(err, backup.ErrNoKey) {
		return f.finishWithRecipient(ctx, env, c, o, report)
	}
	if f.noKey || c.Node.Role != config.RoleServer || !errors.Is(err, backup.ErrNoKey) {
		return f.finish(ctx, env, o, report)
	}
	key, err := backup.NewKey()
	if err != nil {
		return err
	}
	report.RecoveryKey = key.Secret()
	if err := f.finish(ctx, env, o, report); err != nil {
		return err
	}
	if err := f.driver.Ask(ctx, setup.Key{Site: c.Site.Name, Recipient: key.Recipient().String(), Secret: key.Secret()}); err != nil {
		return err
	}
	return backup.SetSiteRecipient(o.Target.Layout, key.Recipient())
}

// finishWithRecipient is the same for a key that somebody has already: there is nothing to show.
func (f *installFlags) finishWithRecipient(ctx context.Context, env *Env, c config.Config, o install.Options, report installReport) error {
	recipient, err := backup.ParseRecipient(c.Backup.Recipient)
	if err != nil {
		return err
	}
	if err := f.finish(ctx, env, o, report); err != nil {
		return err
	}
	return backup.SetSiteRecipient(o.Target.Layout, recipient)
}
