package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"golang.org/x/sync/errgroup"

	"islet/appliance/config"
	"islet/appliance/lab"
)

// joinAll makes one site of a lab's hosts: the first is its server, so many join it as servers, and the rest as agents.
func (c *labCommands) joinAll(ctx context.Context, l *lab.Lab, servers int, say func(string, ...any) error) error {
	first := l.Hosts()[0]
	if err := say("waiting for the server on %s/%s", l.Name(), first.Name()); err != nil {
		return err
	}
	if _, err := followReady(ctx, first, func(string, ...any) error { return nil }); err != nil {
		return Advise(err, fmt.Sprintf("look at `appliance lab logs %s/%s`", l.Name(), first.Name()))
	}
	if err := joinAs(ctx, config.RoleServer, first, l.Hosts()[1:servers], say); err != nil {
		return err
	}
	return joinAs(ctx, config.RoleAgent, first, l.Hosts()[servers:], say)
}

// joinAs makes nodes of that role of the hosts, all at once.
func joinAs(ctx context.Context, role config.Role, first *lab.Host, hosts []*lab.Host, say func(string, ...any) error) error {
	if len(hosts) == 0 {
		return nil
	}
	out, err := inHost(ctx, first, "appliance", "token", "create", "--role", string(role), "--uses", strconv.Itoa(len(hosts)), "--note", "lab", "-o", "json")
	if err != nil {
		return err
	}
	var made tokenReport
	if err := json.Unmarshal(out, &made); err != nil {
		return fmt.Errorf("read the token that %s made: %w", first.Name(), err)
	}
	joining, ctx := errgroup.WithContext(ctx)
	for _, host := range hosts {
		joining.Go(func() error {
			if _, err := inHost(ctx, host, "appliance", "join", "--token", made.Token); err != nil {
				return err
			}
			if _, err := followReady(ctx, host, func(string, ...any) error { return nil }); err != nil {
				return fmt.Errorf("%s: %w", host.Name(), err)
			}
			return say("%s has joined and is ready", host.Name())
		})
	}
	return joining.Wait()
}

// inHost runs a command in a host and returns what it prints; its errors are part of the error.
func inHost(ctx context.Context, host *lab.Host, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	if err := host.Exec(ctx, lab.Command{Args: args, Stdout: &out, Stderr: &errs}); err != nil {
		return nil, fmt.Errorf("%s %s on %s: %w: %s", args[0], args[1], host.Name(), err, bytes.TrimSpace(errs.Bytes()))
	}
	return out.Bytes(), nil
}
