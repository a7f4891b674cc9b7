// Package sqlite is the adapter to kine and SQLite. It is linked into the store engine only: the
// daemon runs it as a child process and never opens the database itself.
package sqlite

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"islet/appliance/datastore"
)

// Run is the kine program:
//
//	kine serve --database FILE --listen SOCKET
//	kine check FILE
//	kine snapshot FILE COPY
//
// check and snapshot print a datastore.Report to stdout and fail when the (copied) database is not
// sound.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) == 0 {
		return fmt.Errorf("usage: kine serve|check|snapshot")
	}
	var report datastore.Report
	var err error
	switch verb, rest := args[0], args[1:]; {
	case verb == "serve":
		return runServe(ctx, rest)
	case verb == "check" && len(rest) == 1:
		report, err = Check(ctx, rest[0])
	case verb == "snapshot" && len(rest) == 2:
		report, err = Snapshot(ctx, rest[0], rest[1])
	default:
		return fmt.Errorf("usage: kine serve --database FILE --listen SOCKET | check FILE | snapshot FILE COPY")
	}
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(report)
}

func runServe(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it all
	database := flags.String("database", "", "SQLite file")
	socket := flags.String("listen", "", "path of the unix socket that serves the etcd API")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *database == "" || *socket == "" {
		return fmt.Errorf("serve: --database and --listen are needed")
	}
	return Serve(ctx, *database, *socket)
}
