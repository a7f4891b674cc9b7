// Command containerd is the container runtime engine: containerd, its client ctr, or the image registry, by argv[0].
// Only the plug-ins that the platform's configuration can reach are linked (see plugins.go).
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/cmd/containerd/command"
	ctr "github.com/containerd/containerd/v2/cmd/ctr/app"

	"islet/appliance/footprint"
	"islet/appliance/registry/serve"
)

func main() {
	name := filepath.Base(os.Args[0])
	if err := run(name); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %s\n", name, err)
		os.Exit(1)
	}
}

func run(name string) error {
	if name == "ctr" {
		return ctr.New().Run(os.Args)
	}
	footprint.AfterStart()
	if name != "registry" {
		return command.App().Run(os.Args)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	return serve.Run(ctx, os.Args[1:], os.Stderr)
}
