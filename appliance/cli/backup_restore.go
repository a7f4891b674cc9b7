package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/plan"
	"islet/appliance/preflight"
	"islet/appliance/progress"
	"islet/appliance/reset"
	"islet/appliance/setup"
)

// backupChecked is the JSON form of a verified backup.
type backupChecked struct {
	File            string          `json:"file"`
	DatabaseChecked bool            `json:"databaseChecked"` // page by page, not by its digest only
	Manifest        backup.Manifest `json:"manifest"`
}

func newBackupVerifyCommand(env *Env) *cobra.Command {
	var from string
	cmd := &cobra.Command{
		Use: "verify FILE --key FILE", Short: "Check everything in a backup", Args: cobra.ExactArgs(1),
		Long: `Opens a backup with the recovery key, compares every file in it with its digest, checks the authorities, and has every
page of the database checked. Nothing is changed; it needs no node, and room for the database in $TMPDIR.`,
		Example: `  appliance backup verify /mnt/stick/plant-20260601T120000Z.islet-backup --key recovery.key
  appliance backup verify plant-20260601T120000Z.islet-backup --key - < recovery.key`,
		ValidArgsFunction: completeBackups,
	}
	keyFlag(cmd, &from)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := readKey(cmd.Context(), env, from)
		if err != nil {
			return explainBackup(err)
		}
		contents, checked, err := verifyBackup(cmd.Context(), env, args[0], key)
		if err != nil {
			return explainBackup(err)
		}
		return env.Print(*format, backupChecked{args[0], checked, contents.Manifest}, func(w io.Writer) error {
			printManifest(w, contents.Manifest, checked)
			return nil
		})
	}
	return cmd
}

func printManifest(w io.Writer, m backup.Manifest, checked bool) {
	how := "checked page by page"
	if !checked {
		how = "compared with its digest only: there is no store engine in this file"
	}
	fmt.Fprintf(w, "site %s, node %s at %s, backed up at %s by %s\n", m.Site, m.Node, m.Address, m.Created.Local().Format(time.DateTime), m.Appliance)
	fmt.Fprintf(w, "%d files, %s; %s at revision %d with %d rows, %s\n",
		len(m.Files), progress.Bytes(m.Bytes()), m.Datastore.Kind, m.Datastore.Revision, m.Datastore.Rows, how)
}

type restoreFlags struct {
	setupFlags
	key  string
	plan bool
	yes  bool
}

func newBackupRestoreCommand(env *Env) *cobra.Command {
	f := new(restoreFlags)
	cmd := &cobra.Command{
		Use: "restore FILE --key FILE", Short: "Make this bare machine the server that a backup was made of", Args: cobra.ExactArgs(1),
		Long: `Checks everything in the backup and everything on this machine, then puts the authorities, the datastore and the
answer file in place, and goes on like ` + "`appliance install`" + `. Before all is checked nothing is changed.

The machine must have the name and the address of the one that the backup was made on, and must not be a node. What
was written after the backup was made is lost. After an interruption run the same command again.`,
		Example: `  ./appliance backup restore plant-20260601T120000Z.islet-backup --key recovery.key --plan
  ./appliance backup restore plant-20260601T120000Z.islet-backup --key -`,
		ValidArgsFunction: completeBackups,
	}
	keyFlag(cmd, &f.key)
	cmd.Flags().BoolVar(&f.plan, "plan", false, "check everything, print every side effect, and do nothing")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	f.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return explainBackup(f.run(cmd.Context(), env, args[0]))
	}
	return cmd
}

func (f *restoreFlags) run(ctx context.Context, env *Env, path string) (err error) {
	if err := requireRoot("make this machine a node"); err != nil {
		return err
	}
	f.driver = &lines{env: env, format: *f.format, confirms: true, yes: f.yes, advice: "look at it with --plan, then give --yes"}
	options, err := f.carry(env)
	if err != nil {
		return err
	}
	key, err := readKey(ctx, env, f.key)
	if err != nil {
		return err
	}
	contents, checked, err := verifyBackup(ctx, env, path, key)
	if err != nil {
		return err
	}
	if *f.format == FormatText {
		printManifest(env.Stdio.Err, contents.Manifest, checked)
	}
	if err := f.prepare(ctx, env, contents, &options, func(ctx context.Context) error {
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		return backup.Place(ctx, file, key, options.Target.Layout, contents.Manifest)
	}); err != nil {
		return err
	}
	steps, err := install.NewPlan(ctx, options)
	if err != nil {
		return err
	}
	report := installReport{Steps: steps, Restored: &contents.Manifest}
	if f.plan {
		return env.Print(*f.format, report, func(w io.Writer) error { return printInstallPlan(w, steps) })
	}
	record := f.record(env, options.Target.Layout, plan.Restore, f.again(path)...)
	defer func() { endRecord(env, record, err) }()
	if err := f.driver.Ask(ctx, setup.Plan{Steps: steps, Answers: options.Config}); err != nil {
		return err
	}
	if err := f.do(ctx, steps); err != nil {
		return Advise(err, "run the same command again: it goes on where it stopped; `appliance reset` takes back what was done")
	}
	return f.finish(ctx, env, options, report)
}

// again is the same command from any directory. The key itself is in none of its words.
func (f *restoreFlags) again(path string) []string {
	absolute := func(path string) string {
		if full, err := filepath.Abs(path); err == nil && path != "-" {
			return full
		}
		return path
	}
	return []string{"backup", "restore", absolute(path), "--key", absolute(f.key)}
}

// prepare refuses where the backup cannot be put back, and says what an installation has to do for it.
func (f *restoreFlags) prepare(ctx context.Context, env *Env, contents backup.Contents, o *install.Options, place func(context.Context) error) error {
	m := contents.Manifest
	c, _, err := config.Decode(bytes.NewReader(contents.Config))
	if err == nil && c.Node.Role != config.RoleServer {
		err = errors.New("it is of an agent")
	}
	if err != nil {
		return Exit(CodeConfig, fmt.Errorf("the answer file of the backup: %w", err))
	}
	o.Config, o.Target = contents.Config, reset.NewTarget(c, filepath.Dir(o.ConfigPath))
	done, err := contents.Placed(ctx, o.Target.Layout)
	if err != nil {
		return err
	}
	facts, err := host.Gather(ctx)
	if err != nil {
		env.Logger().Warn("some facts of this machine could not be read", "error", err)
	}
	if err := checkSameMachine(c, facts, m); err != nil {
		return err
	}
	if m.Appliance != env.Build.Version {
		fmt.Fprintf(env.Stdio.Err, "warning: the backup was made by version %s, and this is %s\n", m.Appliance, env.Build.Version)
	}
	o.Restore = &install.Restore{
		Site: m.Site, Detail: "put back authorities and datastore as they were at " + m.Created.Local().Format(time.DateTime), Done: done, Place: place,
	}
	return f.checkMachine(ctx, env, preflight.Input{Config: c, Layout: o.Target.Layout})
}

// checkSameMachine insists on the name and the address that the site knows its server by.
func checkSameMachine(c config.Config, facts host.Facts, m backup.Manifest) error {
	whose := fmt.Sprintf("it was made on %s at %s", m.Node, m.Address)
	if _, _, found := facts.Holder(m.Address); !found {
		return Advise(fmt.Errorf("%w: %s, and no interface of this machine has that address", backup.ErrOtherMachine, whose),
			"give this machine the address "+m.Address.String()+", then run the same command again")
	}
	d, err := config.Derive(c, facts)
	switch {
	case err != nil:
		return Exit(CodeConfig, fmt.Errorf("the answer file of the backup does not fit this machine: %w", err))
	case d.Address != m.Address:
		return Advise(fmt.Errorf("%w: %s, and this machine would be known by %s", backup.ErrOtherMachine, whose, d.Address),
			"make "+m.Address.String()+" the address of the interface with the default route, or the only one")
	case d.NodeName != m.Node:
		return Advise(fmt.Errorf("%w: %s, and this machine is called %s", backup.ErrOtherMachine, whose, d.NodeName),
			"name this machine: hostnamectl set-hostname "+m.Node)
	}
	return nil
}
