package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"islet/appliance/config"
	"islet/appliance/lab"
)

const siteHosts = 3

// site measures a site of one server and two agents, from bare files. The agents join one after the other: on a machine
// with two cores the time of two at once says more about the cores.
func (b *bench) site(ctx context.Context) error {
	b.say("a site of %d machines", siteHosts)
	if err := b.hosts.Down(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.boot(ctx, siteHosts); err != nil {
		return err
	}
	if err := poll(ctx, 3*time.Minute, "the server", b.allReady); err != nil {
		return err
	}
	agents := b.hosts.Hosts()[1:]
	mean, err := b.join(ctx, config.RoleAgent, agents)
	if err != nil {
		return err
	}
	b.table.add(row{what: "join of an agent, from the command until all of it is ready, mean of 2", unit: "s", value: mean})
	b.table.add(row{what: "a site of a server and two agents, from bare files until all of it is ready", unit: "s", value: time.Since(begun).Seconds()})
	if err := sleep(ctx, b.settle); err != nil {
		return err
	}
	all, err := processesOf(agents[0])
	if err != nil {
		return err
	}
	b.table.add(row{what: "idle memory of an agent's host processes, PSS", unit: "MiB", value: all.sum(kindHost).pss})
	b.table.add(row{what: "idle memory of an agent's host processes, private", unit: "MiB", value: all.sum(kindHost).private})
	return nil
}

// join lets hosts join one after the other, and returns the mean time from the command until all of the node is ready, in
// seconds. A second server is as ready as it gets while it waits for a third.
func (b *bench) join(ctx context.Context, role config.Role, hosts []*lab.Host) (mean float64, err error) {
	out, err := output(ctx, b.host, "appliance", "token", "create", "--role", string(role), "--uses", strconv.Itoa(len(hosts)), "-o", "json")
	if err != nil {
		return 0, err
	}
	var made struct{ Token string }
	if err := json.Unmarshal(out, &made); err != nil {
		return 0, err
	}
	for _, host := range hosts {
		asked := time.Now()
		if _, err := output(ctx, host, "appliance", "join", "--token", made.Token); err != nil {
			return 0, err
		}
		if err := poll(ctx, 3*time.Minute, host.Name(), func(ctx context.Context) error { return ready(ctx, clientOf(host)) }); err != nil {
			return 0, err
		}
		mean += time.Since(asked).Seconds() / float64(len(hosts))
	}
	return mean, nil
}

// output runs a command in a host.
func output(ctx context.Context, host *lab.Host, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	if err := host.Exec(ctx, lab.Command{Args: args, Stdout: &out, Stderr: &errs}); err != nil {
		return nil, fmt.Errorf("%s on %s: %w: %s", args[1], host.Name(), err, errs.Bytes())
	}
	return out.Bytes(), nil
}
