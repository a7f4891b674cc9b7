package etcd

import (
	"context"
	"flag"
	"fmt"
	"io"
)

// verb is one thing that the tool does. What it returns is printed as JSON.
type verb func(ctx context.Context, args []string) (any, error)

// parse reads flags from before, between and after the operands, of which there must be n.
func parse(flags *flag.FlagSet, args []string, n int) ([]string, error) {
	flags.SetOutput(io.Discard) // the error says it all
	var operands []string
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			break
		}
		operands = append(operands, flags.Arg(0))
		args = flags.Args()[1:]
	}
	if len(operands) != n {
		return nil, fmt.Errorf("%d arguments besides the flags are needed, there are %q", n, operands)
	}
	return operands, nil
}

// required returns an error that names the flags that are not set.
func required(flags *flag.FlagSet, names ...string) error {
	for _, name := range names {
		if flags.Lookup(name).Value.String() == "" {
			return fmt.Errorf("--%s is needed", name)
		}
	}
	return nil
}

// onPath makes a verb of what looks at one path.
func onPath[T any](f func(path string) (T, error)) verb {
	return func(_ context.Context, args []string) (any, error) {
		operands, err := parse(flag.NewFlagSet("", flag.ContinueOnError), args, 1)
		if err != nil {
			return nil, err
		}
		return f(operands[0])
	}
}

// onDatabase does the same for what may be cancelled.
func onDatabase[T any](f func(ctx context.Context, path string) (T, error)) verb {
	return func(ctx context.Context, args []string) (any, error) {
		return onPath(func(path string) (T, error) { return f(ctx, path) })(ctx, args)
	}
}

// onCluster makes a verb of what a cluster does without further arguments.
func onCluster[T any](f func(*cluster, context.Context) (T, error)) verb {
	return func(ctx context.Context, args []string) (any, error) {
		c, flags := clusterFlags()
		if _, err := parse(flags, args, 0); err != nil {
			return nil, err
		}
		if err := c.validate(); err != nil {
			return nil, err
		}
		return f(c, ctx)
	}
}

// onSeat makes a verb of what a cluster does with one member.
func onSeat[T any](f func(*cluster, context.Context, seat) (T, error)) verb {
	return func(ctx context.Context, args []string) (any, error) {
		c, flags := clusterFlags()
		s := seatFlags(flags)
		if _, err := parse(flags, args, 0); err != nil {
			return nil, err
		}
		if err := c.validate(); err != nil {
			return nil, err
		}
		return f(c, ctx, *s)
	}
}
