package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"islet/appliance/backup"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/layout"
	"islet/bundle"
)

func newBackupCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "backup",
		Short:   "Back the whole site up into one sealed file, and restore it",
		GroupID: groupLook,
		Long: `A backup is one file with everything that makes a site: the datastore, the answer file, the authorities and their
keys. It is sealed for the site's recovery key. The site has the public half of that key only, so that a backup can be
made at any time and left anywhere; who restores it needs the secret half, which was shown once.

Images are in the program itself. What volumes hold is not in a backup.`,
		Example: `  appliance backup create --out /mnt/stick
  appliance backup list
  appliance backup verify plant-20260601T120000Z.islet-backup --key recovery.key
  ./appliance backup restore plant-20260601T120000Z.islet-backup --key recovery.key     on a bare machine`,
	}
	cmd.AddCommand(newBackupKeyCommand(env), newBackupCreateCommand(env), newBackupListCommand(env),
		newBackupVerifyCommand(env), newBackupRestoreCommand(env))
	return cmd
}

// openServer is the configuration of this node, which must be a server.
func openServer(purpose string) (config.Config, layout.Layout, error) {
	if err := requireRoot(purpose); err != nil {
		return config.Config{}, layout.Layout{}, err
	}
	c, l, err := installed()
	if err == nil && c.Node.Role != config.RoleServer {
		err = Exit(CodeNotServer, Advise(errors.New("this node is an agent: it has nothing of the site's to back up"), "run the command on a server"))
	}
	return c, l, err
}

// completeBackups offers the files that may be backups.
func completeBackups(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return []cobra.Completion{"islet-backup"}, cobra.ShellCompDirectiveFilterFileExt
}

// keyFlag adds the flag that says where the recovery key is.
func keyFlag(cmd *cobra.Command, from *string) {
	cmd.Flags().StringVar(from, "key", "", "`FILE` with the recovery key; - reads it from standard input")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag of the line above
	}
}

// readKey never takes the key from the command line, which everybody on the machine can see.
func readKey(ctx context.Context, env *Env, from string) (backup.Key, error) {
	const largest = 64 << 10
	var text string
	switch {
	case strings.HasPrefix(strings.ToUpper(from), "AGE-SECRET-KEY"):
		return backup.Key{}, Exit(CodeUsage, Advise(errors.New("--key: this is the key itself: on a command line everybody here can see it"),
			"name the file that it is in, or give it on standard input with --key -"))
	case from == "-":
		if in, ok := terminal(env); ok {
			line, err := ask(ctx, env, in, "recovery key: ")
			if err != nil {
				return backup.Key{}, err
			}
			text = line
			break
		}
		data, err := io.ReadAll(io.LimitReader(env.Stdio.In, largest))
		if err != nil {
			return backup.Key{}, fmt.Errorf("read the recovery key: %w", err)
		}
		text = string(data)
	default:
		data, err := os.ReadFile(from)
		if err != nil {
			return backup.Key{}, fmt.Errorf("read the recovery key: %w", err)
		}
		text = string(data)
	}
	return backup.ParseKey(text)
}

// verifyBackup reads a whole backup and checks everything in it. checked is false where there is no store engine to
// check the database with; its digest is compared in any case.
func verifyBackup(ctx context.Context, env *Env, path string, key backup.Key) (_ backup.Contents, checked bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return backup.Contents{}, false, err
	}
	defer file.Close()
	dir, remove, err := workDir(os.TempDir())
	if err != nil {
		return backup.Contents{}, false, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	bin, err := storeEngine(ctx, env, dir)
	if err != nil {
		return backup.Contents{}, false, err
	}
	var check backup.Check
	if bin != "" {
		check = checkWith(bin)
	}
	contents, err := backup.Verify(ctx, file, key, dir, check)
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return contents, check != nil, err
}

// workDir makes a private directory in parent for a database in the clear, and removes those that killed commands have
// left: each command holds a lock on its own.
func workDir(parent string) (dir string, remove func() error, err error) {
	const prefix = "islet-backup-"
	left, err := filepath.Glob(filepath.Join(parent, prefix+"*"))
	if err != nil {
		return "", nil, err
	}
	for _, old := range left {
		if unlock, err := lockOwn(old); err == nil {
			err = errors.Join(os.RemoveAll(old), unlock())
			if err != nil {
				return "", nil, err
			}
		}
	}
	dir, err = os.MkdirTemp(parent, prefix+"*")
	if err != nil {
		return "", nil, err
	}
	unlock, err := lockOwn(dir)
	if err != nil {
		return "", nil, err
	}
	return dir, func() error { return errors.Join(os.RemoveAll(dir), unlock()) }, nil
}

// lockOwn locks a directory of this user's that nobody has locked.
func lockOwn(dir string) (unlock func() error, err error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	var stat unix.Stat_t
	err = unix.Fstat(fd, &stat)
	if err == nil && int(stat.Uid) != os.Geteuid() {
		err = fs.ErrPermission
	}
	if err == nil {
		err = unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(err, unix.Close(fd))
	}
	return func() error { return unix.Close(fd) }, nil
}

// storeEngine is where the programs are that open databases: the node's own, or those of the bundle, unpacked into dir. It is
// empty where there are neither.
func storeEngine(ctx context.Context, env *Env, dir string) (string, error) {
	if _, l, err := installed(); err == nil {
		if program, err := engineProgram(l, datastore.KineName); err == nil {
			return filepath.Dir(program), nil
		}
	}
	b, err := env.OpenBundle("")
	if errors.Is(err, bundle.ErrForeign) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer b.Close()
	engine, err := b.Find(bundle.KindEngine, "store")
	if errors.Is(err, bundle.ErrNotFound) {
		return "", nil
	}
	if err == nil {
		err = b.ExtractEngine(ctx, dir, engine)
	}
	return filepath.Join(dir, "bin"), err
}

// checkWith has a database checked by the store engine, whose programs are in bin.
func checkWith(bin string) backup.Check {
	return func(ctx context.Context, kind, database string) (datastore.Report, error) {
		if kind == string(config.StoreExternal) {
			return datastore.CheckNote(database)
		}
		var report datastore.Report
		dir := filepath.Dir(database)
		args := []string{filepath.Join(bin, datastore.KineName), "check", database}
		if kind == string(config.StoreEtcd) {
			args = []string{filepath.Join(bin, datastore.EtcdToolName), "check-file", database}
		}
		out, err := component.Output(ctx, component.Spec{Args: args, Env: []string{"TMPDIR=" + dir}, Dir: dir})
		if err != nil {
			if _, found, damaged := strings.Cut(err.Error(), datastore.ErrDamaged.Error()); damaged {
				return report, fmt.Errorf("%w%s", datastore.ErrDamaged, found)
			}
			return report, err
		}
		if err := json.Unmarshal(out, &report); err != nil {
			return report, fmt.Errorf("read the store engine's answer: %w", err)
		}
		return report, nil
	}
}

// explainBackup says what to do about refusals.
func explainBackup(err error) error {
	for _, row := range []struct {
		err    error
		advice string
	}{
		{backup.ErrNotBackup, "name a file that `appliance backup create` made"},
		{backup.ErrTruncated, "copy it again, and compare its SHA-256 with that of the original"},
		{backup.ErrAltered, "do not use it; copy it again, or use an older one"},
		{backup.ErrWrongKey, "find the recovery key that was shown together with this public key"},
		{backup.ErrNotKey, "give all of the line that begins with AGE-SECRET-KEY-1, or the file that it is in"},
		{backup.ErrNewer, "use the program that made it, or a newer one"},
		{backup.ErrNode, "see `appliance status`; to restore onto this machine, `appliance reset` first: that deletes all that is on it"},
		{backup.ErrNoKey, "make one: appliance backup key create"},
		{backup.ErrIncomplete, "see `appliance status`: authorities and keys are made when `appliance server` first starts"},
	} {
		if errors.Is(err, row.err) {
			return Advise(err, row.advice)
		}
	}
	return err
}
