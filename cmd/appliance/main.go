// The appliance command is the operator's executable: installer, node daemon and tools in one file.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"islet/appliance/cli"
	"islet/appliance/lab"
)

func main() {
	lab.MaybeInit() // does not return when this process was started as the first of a lab host
	os.Exit(run())
}

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// The first signal asks; with the handler gone, a second one kills.
	context.AfterFunc(ctx, stop)
	return cli.Main(ctx, os.Args[1:], cli.Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr})
}
