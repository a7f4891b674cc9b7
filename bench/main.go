// Command bench measures the one file against its targets, and against the floor: the same engines
// with the same arguments and datastore, started by hand all at once, in the same host of the lab.
// It prints a table; with -record it also appends the table to docs/benchmarks.md.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"

	"islet/appliance/lab"
)

func main() {
	lab.MaybeInit()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}
