package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"islet/appliance/component"
	"islet/appliance/lab"
	"islet/appliance/runtime"
)

// firstBoot measures the way from the bare file to the sample application's first answer.
func (b *bench) firstBoot(ctx context.Context) error {
	b.say("first boot, from the bare file")
	begun := time.Now()
	if err := b.boot(ctx, 1); err != nil {
		return err
	}
	if err := poll(ctx, 3*time.Minute, "node Ready", b.componentReady("node")); err != nil {
		return err
	}
	ready := time.Since(begun).Seconds()
	if err := poll(ctx, 3*time.Minute, "add-ons", b.componentReady("addons")); err != nil {
		return err
	}
	var report bytes.Buffer
	deploy := lab.Command{Args: []string{"sh", "-c", "appliance addon render sample | appliance kubectl apply -f -"}, Stdout: &report, Stderr: &report}
	if err := b.host.Exec(ctx, deploy); err != nil {
		return fmt.Errorf("deploy the sample: %w: %s", err, report.String())
	}
	client := b.hosts.HTTPClientTo(b.host.Addr().String() + ":80")
	ask := func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://hello.apps."+b.lab+".internal/healthz", nil)
		if err != nil {
			return err
		}
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	}
	if err := poll(ctx, 3*time.Minute, "the sample application", ask); err != nil {
		return err
	}
	b.table.add(row{what: "first boot to node Ready", unit: "s", value: ready})
	b.table.add(row{what: "first boot to the sample application's answer", unit: "s", value: time.Since(begun).Seconds(), target: 30})
	return b.importRate(ctx)
}

func (b *bench) componentReady(name string) func(context.Context) error {
	return func(ctx context.Context) error {
		status, err := b.client.Status(ctx)
		if err != nil {
			return err
		}
		for _, c := range status.Components {
			if c.Name == name && c.State == component.Ready {
				return nil
			}
		}
		return fmt.Errorf("%s is not ready", name)
	}
}

// importRate compares the import, which ran beside the first boot, with a plain copy of as many bytes.
func (b *bench) importRate(ctx context.Context) error {
	events, err := b.client.Events(ctx)
	if err != nil {
		return err
	}
	status, err := b.client.Status(ctx)
	if err != nil {
		return err
	}
	var from, to time.Time
	for _, e := range events {
		switch {
		case e.Component != runtime.ImagesName:
		case e.State == component.Starting && from.IsZero():
			from = e.At
		case e.State == component.Ready && to.IsZero():
			to = e.At
		}
	}
	seconds, err := plainCopy(b.appliance, b.host.Path("/var/lib"), status.Images.Bytes)
	if err != nil {
		return err
	}
	b.table.add(row{what: fmt.Sprintf("import of %d MiB of images, beside the start of everything else", status.Images.Bytes>>20), unit: "s",
		value: to.Sub(from).Seconds(), baseline: seconds, baselineMeaning: "plain copy and sync"})
	return nil
}

// idleUse measures memory and processor time when nothing happens.
func (b *bench) idleUse(ctx context.Context) error {
	if err := poll(ctx, 2*time.Minute, "readiness", b.allReady); err != nil {
		return err
	}
	b.say("%s of quiet, then %s of idling", b.settle, b.idle)
	if err := sleep(ctx, b.settle); err != nil {
		return err
	}
	before, err := processesOf(b.host)
	if err != nil {
		return err
	}
	begun := time.Now()
	if err := sleep(ctx, b.idle); err != nil {
		return err
	}
	after, err := processesOf(b.host)
	if err != nil {
		return err
	}
	elapsed := time.Since(begun).Seconds()
	host, pods, shims := after.sum(kindHost), after.sum(kindPod), after.sum(kindShim)
	b.table.add(row{what: "idle memory of the host's processes, PSS", unit: "MiB", value: host.pss, target: 450})
	b.table.add(row{what: "idle memory of the host's processes, private", unit: "MiB", value: host.private, target: 330})
	after.each(kindHost, func(p process) { b.table.add(row{what: "  " + p.name + ", private", unit: "MiB", value: p.private}) })
	b.table.add(row{what: "shims, private", unit: "MiB", value: shims.private})
	b.table.add(row{what: "system and sample pods, PSS", unit: "MiB", value: pods.pss})
	b.table.add(row{what: "idle processor use of the host's processes", unit: "% of a core",
		value: (host.cpu - before.sum(kindHost).cpu) / elapsed * 100, target: 6})
	earlier := before.byPID()
	after.each(kindHost, func(p process) {
		b.table.add(row{what: "  " + p.name, unit: "% of a core", value: (p.cpu - earlier[p.pid].cpu) / elapsed * 100})
	})
	b.table.add(row{what: "idle processor use of pods", unit: "% of a core", value: (pods.cpu - before.sum(kindPod).cpu) / elapsed * 100})
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
