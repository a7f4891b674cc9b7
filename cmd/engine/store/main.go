// Command store is the datastore engine: etcd, or kine on SQLite, by argv[0].
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"islet/appliance/datastore/sqlite"
	"islet/appliance/footprint"
)

func main() {
	footprint.AfterStart()
	if filepath.Base(os.Args[0]) == "etcd" {
		etcdmain.Main(os.Args)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := sqlite.Run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "kine: %v\n", err)
		os.Exit(1)
	}
}
