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
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/appliance/progress"
)

// siteBackups is where backups go when nobody says where to.
func siteBackups(l layout.Layout) string { return filepath.Join(l.Backups(), "site") }

type backupCreateFlags struct {
	out    string
	format *Format
}

func newBackupCreateCommand(env *Env) *cobra.Command {
	f := new(backupCreateFlags)
	cmd := &cobra.Command{
		Use: "create", Short: "Write a backup of the site", Args: cobra.NoArgs,
		Long: `Takes a snapshot of the datastore, checks it, and seals it into one file together with the answer file and the
authorities. The file appears under its name only when it is whole, was forced to the disk and was read back.

Without --out it goes below the state directory, which is lost with this machine, and deleted by a reset: copy it.`,
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
	path, err := f.path(l, source.Manifest)
	if err != nil {
		return err
	}
	written, err := backup.WriteFile(ctx, path, to, source)
	if errors.Is(err, fs.ErrExist) {
		return Exit(CodeExists, Advise(err, "name another file with --out"))
	}
	if err != nil {
		return err
	}
	return env.Print(*f.format, written, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%s, SHA-256 %s\nsealed for %s\n", written.Path, progress.Bytes(written.Bytes), written.SHA256, to)
		if f.out == "" {
			fmt.Fprintln(env.Stdio.Err, "Copy it to another place: here it is lost with this machine.")
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
	return backup.Source{
		Manifest: backup.Manifest{
			Site: c.Site.Name, Node: status.Node.Name, Address: address, Appliance: env.Build.Version, Created: time.Now().UTC().Truncate(time.Second),
			Datastore: backup.Datastore{Kind: string(c.Datastore.Store), Revision: report.Revision, Rows: report.Rows},
		},
		Config: l.Config(), PKI: l.PKI(), Database: snapshot,
	}, nil
}

// path is the file to write.
func (f *backupCreateFlags) path(l layout.Layout, m backup.Manifest) (string, error) {
	name := backup.Name(m.Site, m.Created)
	if f.out == "" {
		dir := siteBackups(l)
		return filepath.Join(dir, name), os.MkdirAll(dir, 0o700)
	}
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

// backupRow is a line of `backup list`.
type backupRow struct {
	backup.Entry
	OtherKey bool `json:"otherKey"` // it is sealed for another recovery key than the site's
}

func newBackupListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [DIR]", Short: "List the backups in a directory", Args: cobra.MaximumNArgs(1),
		Long: `Lists the backups, the newest first: those that were written without --out, or those of a directory. It tells which
are cut short, and which are sealed for another recovery key than the site's; all else takes the key to find out:
` + "`appliance backup verify`.",
		Example: `  appliance backup list
  appliance backup list /mnt/stick -o json | jq -r '.[0].path'`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveFilterDirs
		},
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		_, l, err := openServer("look at the backups")
		if err != nil {
			return err
		}
		recipient := ""
		if r, err := backup.SiteRecipient(l); err == nil {
			recipient = r.String()
		}
		dir := siteBackups(l)
		if len(args) > 0 {
			dir = args[0]
		}
		list, err := backup.List(cmd.Context(), dir)
		if err != nil {
			return err
		}
		rows := []backupRow{}
		for _, e := range list {
			rows = append(rows, backupRow{e, e.Recipient != "" && e.Recipient != recipient})
		}
		return env.Print(*format, rows, func(w io.Writer) error { return printBackups(w, rows) })
	}
	return cmd
}

func printBackups(out io.Writer, rows []backupRow) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MADE\tSITE\tSIZE\tSTATE\tFILE")
	for _, r := range rows {
		state := "whole"
		switch {
		case r.Problem != "":
			state = r.Problem
		case r.OtherKey:
			state = "sealed for another recovery key"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Created.Local().Format(time.DateTime), r.Site, progress.Bytes(r.Bytes), state, r.Path)
	}
	return w.Flush()
}
