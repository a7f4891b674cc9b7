// Command volume makes and removes the directory of a local volume. The local-path provisioner runs it in a helper pod on
// the volume's node, with the volumes' parent directory mounted, in place of its shell scripts:
//
//	volume -p PATH -s BYTES -m Filesystem|Block -a create|delete
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"time"
)

func main() {
	if err := run(os.Args[1:], disk{}); err != nil {
		fmt.Fprintln(os.Stderr, "volume:", err)
		os.Exit(1)
	}
}

func run(args []string, measure measurer) error {
	var v volume
	var action string
	flags := flag.NewFlagSet("volume", flag.ContinueOnError)
	flags.StringVar(&v.path, "p", "", "`path` of the volume's directory")
	flags.Int64Var(&v.size, "s", 0, "requested `bytes`")
	flags.StringVar(&v.mode, "m", "Filesystem", "volume `mode`")
	flags.StringVar(&action, "a", "", "`action`: create or delete")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch action {
	case "create":
		err := v.create(measure)
		if errors.Is(err, errFull) || errors.Is(err, errMode) {
			err = errors.Join(err, tell(v, err))
		}
		return err
	case "delete":
		return v.remove()
	}
	return fmt.Errorf("unknown action %q; want create or delete", action)
}

// tell writes the refusal into the claim's events.
func tell(v volume, why error) error {
	of, err := v.claim()
	if err != nil {
		return err
	}
	c, err := inCluster(credentials, os.Getenv)
	if err != nil {
		return err
	}
	return c.refuse(context.Background(), of, why, time.Now())
}
