// Postgres makes a database of PostgreSQL where there is none, sets the password of its user, and becomes the server.
//
//	postgres DATA-DIRECTORY CONFIGURATION-DIRECTORY
//
// The configuration has the files password, pg_hba.conf and postgresql.conf; the user and the database are both called app.
// It runs alone in its container, and may be killed at any time: a database that was not made completely is made anew.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	version = "15"
	bin     = "/usr/lib/postgresql/" + version + "/bin/"
)

// environment is all that PostgreSQL's programs are told.
var environment = []string{"PATH=" + bin + ":/bin", "LC_ALL=C", "TZ=UTC", "HOME=/"}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "postgres: want a directory for data and one with the configuration")
		os.Exit(2)
	}
	if err := run(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "postgres:", err)
		os.Exit(1)
	}
}

// run returns only when the server could not be started.
func run(ctx context.Context, data, config string) error {
	database := filepath.Join(data, version)
	secret, err := os.ReadFile(filepath.Join(config, "password"))
	if err != nil {
		return err
	}
	password := strings.TrimSpace(string(secret))
	if strings.ContainsAny(password, "'\\\n") || password == "" {
		return errors.New("a password has characters, none of which is a quote or a line's end")
	}
	if _, err := os.Stat(filepath.Join(database, "PG_VERSION")); os.IsNotExist(err) {
		if err := create(ctx, data, database, password); err != nil {
			return fmt.Errorf("make a database: %w", err)
		}
	} else if err != nil {
		return err
	} else if err := alone(ctx, database, "ALTER ROLE app PASSWORD '"+password+"'"); err != nil {
		return fmt.Errorf("set the password: %w", err)
	}
	args := []string{"postgres", "-D", database, "-c", "config_file=" + filepath.Join(config, "postgresql.conf"), "-c", "hba_file=" + filepath.Join(config, "pg_hba.conf")}
	return syscall.Exec(bin+"postgres", args, environment)
}

// create makes the database beside its place, and moves it there when all of it is on disk.
func create(ctx context.Context, data, database, password string) error {
	unfinished := database + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, bin+"initdb", "--pgdata="+unfinished, "--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=reject", "--data-checksums")
	if err := command(cmd); err != nil {
		return err
	}
	if err := alone(ctx, unfinished, "CREATE ROLE app LOGIN PASSWORD '"+password+"'", "CREATE DATABASE app OWNER app"); err != nil {
		return err
	}
	if err := os.Rename(unfinished, database); err != nil {
		return err
	}
	dir, err := os.Open(data)
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// alone runs statements without a server. PostgreSQL goes on after a statement that it
// refuses, and ends well: so what it says is looked through.
func alone(ctx context.Context, database string, statements ...string) error {
	cmd := exec.CommandContext(ctx, bin+"postgres", "--single", "-D", database, "-c", "log_statement=none", "-c", "log_min_error_statement=panic", "postgres")
	cmd.Stdin = strings.NewReader(strings.Join(statements, "\n") + "\n")
	cmd.Env, cmd.Dir = environment, "/"
	said, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(said), "ERROR:") {
		err = errors.New("a statement was refused")
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, strings.TrimSpace(string(said)))
	}
	return nil
}

func command(cmd *exec.Cmd) error {
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = environment, "/", os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(cmd.Path), err)
	}
	return nil
}
