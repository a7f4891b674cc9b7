// Command hello is the sample application: a small web server that shows who answers and with which configuration,
// fails when told to, and stops without losing a request. `hello fetch URL` and `hello lookup NAME` are for trying the
// network from inside its pod, whose image has no shell.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 2 && args[0] == "fetch" {
		return fetch(ctx, args[1], os.Stdout)
	}
	if len(args) == 2 && args[0] == "lookup" {
		return lookup(ctx, args[1], os.Stdout)
	}
	config, err := parseConfig(args, os.Environ(), os.Stderr)
	if err != nil {
		return err
	}
	return serve(ctx, config, slog.New(slog.NewJSONHandler(os.Stderr, nil)), nil)
}
