package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/progress"
)

// databaseStatus asks the site's own database how it is, from here. One that cannot be used is an error, after it was shown.
func databaseStatus(ctx context.Context, env *Env, format Format, store datastore.Params) error {
	found, err := store.Database(ctx)
	if err != nil {
		return err
	}
	report := datastoreReport{Store: config.StoreExternal, Endpoint: store.External.Endpoint, Database: &found}
	if err := env.Print(format, report, func(w io.Writer) error { return printDatabase(w, report) }); err != nil {
		return err
	}
	if !found.Serves {
		return Exit(CodeUnhealthy, Advise(errors.New(found.Found), found.Advice))
	}
	return nil
}

func printDatabase(out io.Writer, r datastoreReport) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "Database\t%s\n", r.Endpoint)
	if d := r.Database; d.Serves {
		fmt.Fprintf(w, "Server\t%s\n", d.Server)
		fmt.Fprintf(w, "Content\tat revision %d, %s\n", d.Revision, progress.Bytes(d.Bytes))
		fmt.Fprintf(w, "Clock\t%s ahead of this machine's\n", (time.Duration(d.SkewMillis) * time.Millisecond).Round(time.Millisecond))
		if d.Trouble != "" {
			fmt.Fprintf(w, "WARNING\t%s; %s\n", d.Found, d.Advice)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out, "\nCopies of it, and what may fail without loss, are up to the database: backups of the site hold nothing of it.")
	return err
}
