package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/layout"
	"islet/appliance/progress"
	"islet/appliance/server"
)

// backupRow is a line of `backup list`: one backup, wherever it is.
type backupRow struct {
	Of        string       `json:"of,omitempty"` // the server that made it
	Site      string       `json:"site"`
	Created   time.Time    `json:"created"`
	Age       string       `json:"age"`
	Bytes     int64        `json:"bytes"`
	SHA256    string       `json:"sha256,omitempty"`
	Path      string       `json:"path,omitempty"`      // on this node
	Recipient string       `json:"recipient,omitempty"` // of the one on this node
	OtherKey  bool         `json:"otherKey"`            // it is sealed for another recovery key than the site's
	Problem   string       `json:"problem,omitempty"`   // why the one on this node cannot be used
	Copies    []backupCopy `json:"copies,omitempty"`
}

// backupCopy is a backup on one node.
type backupCopy struct {
	Node     string `json:"node"`
	Path     string `json:"path"`
	Verified bool   `json:"verified"` // compared with its digest when it came there
	Problem  string `json:"problem,omitempty"`
}

func newBackupListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [DIR]", Short: "List the backups of the site, or those in a directory", Args: cobra.MaximumNArgs(1),
		Long: `Lists the backups that the servers of the site have made, by the schedule or without --out, the newest first, and which
nodes have them. Other nodes tell at most half a minute later. While the daemon does not run, those on this node are listed.

With DIR it lists the backups there. It tells which are cut short, and which are sealed for another recovery key than the
site's; all else takes the key to find out: ` + "`appliance backup verify`.",
		Example: `  appliance backup list
  appliance backup list -o json | jq '.[0].copies'
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
		var rows []backupRow
		if len(args) > 0 {
			rows, err = backupsIn(cmd.Context(), args[0])
		} else {
			rows, err = backupsOfSite(cmd.Context(), l)
		}
		if err != nil {
			return err
		}
		own, err := backup.SiteRecipient(l)
		for i := range rows {
			rows[i].Age = age(rows[i].Created)
			rows[i].OtherKey = rows[i].Recipient != "" && (err != nil || rows[i].Recipient != own.String())
		}
		return env.Print(*format, rows, func(w io.Writer) error {
			if len(rows) == 0 && err != nil {
				fmt.Fprintln(env.Stdio.Err, "This site has no recovery key, so no backups are made. Make one: appliance backup key create")
			}
			return printBackups(w, rows)
		})
	}
	return cmd
}

// backupsIn are those in a directory.
func backupsIn(ctx context.Context, dir string) ([]backupRow, error) {
	list, err := backup.List(ctx, dir)
	rows := make([]backupRow, 0, len(list))
	for _, e := range list {
		rows = append(rows, backupRow{Site: e.Site, Created: e.Created, Bytes: e.Bytes, Path: e.Path, Recipient: e.Recipient, Problem: e.Problem})
	}
	return rows, err
}

// backupsOfSite are those on this node, and what other nodes have told of theirs.
func backupsOfSite(ctx context.Context, l layout.Layout) ([]backupRow, error) {
	reports, err := api.NewClient(l.APISocket()).Site(ctx)
	name := "this node" // its daemon does not run
	if err == nil && len(reports) > 0 {
		name = reports[0].Status.Node.Name
		reports = reports[1:]
	}
	here, err := server.Backups(ctx, l, name)
	if err != nil {
		return nil, err
	}
	rows := []backupRow{}
	add := func(node string, b api.Backup) *backupRow {
		i := slices.IndexFunc(rows, func(r backupRow) bool { return r.Of == b.Of && r.Created.Equal(b.Created) })
		if i < 0 {
			i, rows = len(rows), append(rows, backupRow{Of: b.Of, Created: b.Created, Bytes: b.Bytes, SHA256: b.SHA256})
		}
		rows[i].Copies = append(rows[i].Copies, backupCopy{Node: node, Path: b.Path, Verified: b.Verified, Problem: b.Problem})
		return &rows[i]
	}
	for _, b := range here {
		row := add(name, b)
		row.Path, row.Problem = b.Path, b.Problem
	}
	for _, r := range reports {
		for _, b := range r.Status.Backups {
			add(r.Status.Node.Name, b)
		}
	}
	for i := range rows {
		rows[i].describe(ctx)
	}
	slices.SortStableFunc(rows, func(a, b backupRow) int {
		return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Of, b.Of))
	})
	return rows, nil
}

// describe says what the head of the file on this node says.
func (r *backupRow) describe(ctx context.Context) {
	e, err := backup.Look(ctx, r.Path)
	if r.Path == "" || err != nil {
		return
	}
	r.Site, r.Recipient = e.Site, e.Recipient
}

// held says where the backup is, and what is wrong with it there.
func (r backupRow) held() string {
	var on []string
	for _, c := range r.Copies {
		switch {
		case c.Problem != "":
			on = append(on, c.Node+" ("+c.Problem+")")
		case !c.Verified:
			on = append(on, c.Node+" (not verified)")
		default:
			on = append(on, c.Node)
		}
	}
	return strings.Join(on, ", ")
}

func printBackups(out io.Writer, rows []backupRow) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "MADE\tAGE\tOF\tSIZE\tSTATE\tON\tFILE")
	for _, r := range rows {
		state := "whole"
		switch {
		case r.Problem != "":
			state = r.Problem
		case r.OtherKey:
			state = "sealed for another recovery key"
		case r.Path == "":
			state = "elsewhere"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Created.Local().Format(time.DateTime), r.Age,
			cmp.Or(r.Of, r.Site), progress.Bytes(r.Bytes), state, cmp.Or(r.held(), "-"), cmp.Or(r.Path, "-"))
	}
	return w.Flush()
}
