// Command store is the datastore engine: etcd, its tool, or kine on SQLite or on a database of the site's own, by argv[0].
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"go.etcd.io/etcd/server/v3/etcdmain"

	"islet/appliance/datastore"
	"islet/appliance/datastore/etcd"
	"islet/appliance/datastore/external"
	"islet/appliance/datastore/sqlite"
	"islet/appliance/footprint"
)

func main() {
	footprint.AfterStart()
	program := filepath.Base(os.Args[0])
	if program == datastore.EtcdName {
		go etcd.WatchLinks(context.Background(), datastore.PeerPort)
		etcdmain.Main(os.Args)
		return
	}
	run, args := sqlite.Run, os.Args[1:]
	switch {
	case program == datastore.EtcdToolName:
		run = etcd.Run
	case len(args) > 0 && args[0] == datastore.ExternalVerb:
		run, args = external.Run, args[1:]
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, args, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
		os.Exit(1)
	}
}
