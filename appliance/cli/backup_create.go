package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/appliance/progress"
)

type backupCreateFlags struct {
	out    string
	format *Format
}

func newBackupCreateCommand(env *Env) *cobra.Command {
	f := new(backupCreateFlags)
	cmd := &cobra.Command{
		Use: "create", Short: "Write a backup of the site", Args: cobra.NoArgs,
		Long: `Takes a snapshot of the datastore, checks it, and seals it into one file together with the answer file and the
authorities. Of a site's own database (datastore.store: external) it holds nothing but where it is: dumps of that are made with
the database's tools. The file appears under its name only when it is whole, was forced to the disk and was read back.

Without --out it goes below the state directory, as those do that are made by the schedule: every other node of the site
copies it, and it is deleted in time (backup.keep and backup.maxBytes in the answer file).`,
		Example: `  appliance backup create
  appliance backup create --out /mnt/stick
  appliance backup create --out /mnt/stick/before-upgrade.islet-backup`,
	}
	cmd.Flags().StringVar(&f.out, "out", "", "`FILE` to write, or a directory for a file named after site and time")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return explainBackup(f.run(cmd.Context(), env)) }
	return cmd
}

func (f *backupCreateFlags) run(ctx context.Context, env *Env) error {
	c, l, err := openServer("read the site's keys")
	if err != nil {
		return err
	}
	to, err := backup.SiteRecipient(l)
	if err != nil {
		return err
	}
	source, err := takeSource(ctx, env, c, l)
	if err != nil {
		return err
	}
	written, err := f.write(ctx, c, l, to, source)
	if errors.Is(err, fs.ErrExist) {
		return Exit(CodeExists, Advise(err, "name another file with --out"))
	}
	if err != nil {
		return err
	}
	return env.Print(*f.format, written, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s, SHA-256 %s\nsealed for %s\n", written.Path, progress.Bytes(written.Bytes), written.SHA256, to)
		if f.out == "" {
			fmt.Fprintln(env.Stdio.Err, "The other machines of the site copy it by themselves. Take it off the site, too.")
		}
		if c.Datastore.Store == config.StoreExternal {
			fmt.Fprintln(env.Stdio.Err, "WHAT IS IN THE SITE'S DATABASE IS NOT IN IT. Dump the database with its own tools, too, and keep the dumps.")
		}
		return err
	})
}

// takeSource has the daemon take a snapshot, and asks the store engine what is in it.
func takeSource(ctx context.Context, env *Env, c config.Config, l layout.Layout) (backup.Source, error) {
	client := api.NewClient(l.APISocket())
	status, err := client.Status(ctx)
	if err != nil {
		return backup.Source{}, explainDaemon(err)
	}
	address, err := netip.ParseAddr(status.Node.Address)
	if err != nil {
		return backup.Source{}, fmt.Errorf("the address of this node: %w", err)
	}
	snapshot, err := client.Snapshot(ctx)
	if err != nil && strings.Contains(err.Error(), datastore.ErrBusy.Error()) {
		return backup.Source{}, Exit(CodeBusy, Advise(err, "run the command again in a moment"))
	}
	if err != nil {
		return backup.Source{}, explainDaemon(err)
	}
	program, err := engineProgram(l, datastore.KineName)
	if err != nil {
		return backup.Source{}, err
	}
	report, err := checkWith(filepath.Dir(program))(ctx, string(c.Datastore.Store), snapshot)
	if err != nil {
		return backup.Source{}, fmt.Errorf("check the snapshot %s: %w", snapshot, err)
	}
	generation, err := datastore.Generation(l)
	if err != nil {
		return backup.Source{}, err
	}
	return backup.Source{
		Manifest: backup.Manifest{
			Site: c.Site.Name, Node: status.Node.Name, Address: address, Appliance: env.Build.Version, Created: time.Now().UTC().Truncate(time.Second),
			Datastore: backup.Datastore{Kind: string(c.Datastore.Store), Revision: report.Revision, Rows: report.Rows},
		},
		Config: l.Config(), PKI: l.PKI(), Database: snapshot, Generation: generation,
	}, nil
}

// write puts the backup where it was asked for, else among those that this server keeps and others copy.
func (f *backupCreateFlags) write(ctx context.Context, c config.Config, l layout.Layout, to backup.Recipient, source backup.Source) (backup.Written, error) {
	if f.out == "" {
		shelf := backup.Shelf{Dir: backup.OwnDir(l), Keep: c.Backup.Keep, MaxBytes: int64(c.Backup.MaxBytes)}
		return shelf.Make(ctx, to, source)
	}
	path, err := f.path(source.Manifest)
	if err != nil {
		return backup.Written{}, err
	}
	return backup.WriteFile(ctx, path, to, source)
}

// path is the file to write.
func (f *backupCreateFlags) path(m backup.Manifest) (string, error) {
	name := backup.Name(m.Site, m.Created)
	info, err := os.Stat(f.out)
	switch {
	case err == nil && info.IsDir():
		return filepath.Join(f.out, name), nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case strings.HasSuffix(f.out, "/"):
		return "", fmt.Errorf("--out: there is no directory %s: %w", f.out, fs.ErrNotExist)
	}
	return f.out, nil
}
