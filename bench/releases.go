package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// manyApplications and manyOrders are what the controllers are burdened with. The applications are stopped: the node could not hold their
	// pods.
	manyApplications, manyOrders = 200, 1000
	burdenIdle                   = time.Minute
	environment                  = "bench-dev"
)

// releases measures how long an order takes until the new release answers, how long a switch takes, and what many applications and orders
// cost.
func (b *bench) releases(ctx context.Context) error {
	if err := poll(ctx, 2*time.Minute, "readiness", b.allReady); err != nil {
		return err
	}
	b.say("releases")
	v1, v2, err := b.sampleApplication(ctx)
	if err != nil {
		return err
	}
	for version, image := range map[string]string{"1": v1, "2": v2} {
		if _, err := b.command(ctx, "appliance", "release", "create", environment, "hello", version, "--image", image); err != nil {
			return err
		}
	}
	// 1 is done first, so that what follows finds a release before it
	if _, err := b.command(ctx, "appliance", "order", "create", environment, "hello-1", "--verify", "1s", "--wait", "2m"); err != nil {
		return err
	}
	for _, s := range []struct {
		name, release, version string
		args                   []string
	}{{"rolling", "hello-2", "v2", nil}, {"blue-green", "hello-1", "v1", []string{"--strategy", "blue-green", "--keep", "1s"}}} {
		first, both, err := b.orderTakes(ctx, s.release, s.version, s.args)
		if err != nil {
			return err
		}
		b.table.add(row{what: s.name + " order to the new release's first answer", unit: "s", value: first.Seconds()})
		b.table.add(row{what: s.name + ", from its first answer to the old one's last", unit: "ms", value: 1000 * both.Seconds()})
	}
	return b.burden(ctx)
}

func (b *bench) command(ctx context.Context, args ...string) (string, error) {
	out, err := b.host.Output(ctx, args...)
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return out, nil
}

// sampleApplication makes an environment with the sample application, and returns the images of both its versions.
func (b *bench) sampleApplication(ctx context.Context) (v1, v2 string, err error) {
	out, err := b.command(ctx, "appliance", "image", "list", "-o", "json")
	if err != nil {
		return "", "", err
	}
	var images []struct{ Reference, Digest string }
	if err := json.Unmarshal([]byte(out), &images); err != nil {
		return "", "", err
	}
	for _, i := range images {
		switch name, version, _ := strings.Cut(i.Reference, ":"); {
		case !strings.HasSuffix(name, "/samples/hello"):
		case version == "v1":
			v1 = name + "@" + i.Digest
		default:
			v2 = name + "@" + i.Digest
		}
	}
	if _, err := b.command(ctx, "appliance", "tenant", "create", "bench"); err != nil {
		return "", "", err
	}
	if _, err := b.command(ctx, "appliance", "env", "create", "bench", "dev"); err != nil {
		return "", "", err
	}
	if err := b.host.WriteFile("/root/app.yaml", []byte(applicationOf("hello", v1, false)), 0o600); err != nil {
		return "", "", err
	}
	err = poll(ctx, time.Minute, "the environment", func(ctx context.Context) error {
		_, err := b.command(ctx, "appliance", "app", "apply", "-f", "/root/app.yaml", "--wait", "1m")
		return err
	})
	return v1, v2, err
}

func applicationOf(name, image string, stopped bool) string {
	return fmt.Sprintf(`---
apiVersion: islet.dev/v1alpha1
kind: Application
metadata: {name: %s, namespace: %s}
spec:
  stopped: %t
  expose: [{http: {}}]
  components:
  - name: %s
    image: %s
    runAsUser: 65532
    ports: [{name: http, port: 8080, service: 80}]
    readiness: {http: /readyz, everySeconds: 1}
`, name, environment, stopped, name, image)
}

// orderTakes orders a release, and asks the gateway every 20 ms who answers: until the new release does for the first time, and from then
// until the old one has for the last.
func (b *bench) orderTakes(ctx context.Context, release, version string, args []string) (first, both time.Duration, err error) {
	client := b.hosts.HTTPClientTo(b.host.Addr().String() + ":80")
	client.Transport.(*http.Transport).DisableKeepAlives = true
	begun := time.Now()
	out, err := b.command(ctx, append([]string{"appliance", "order", "create", environment, release, "--verify", "1s", "-o", "json"}, args...)...)
	if err != nil {
		return 0, 0, err
	}
	var order struct{ Name string }
	if err := json.Unmarshal([]byte(out), &order); err != nil {
		return 0, 0, err
	}
	const quiet = 5 * time.Second // without an answer of the old one
	var newest, oldest time.Time
	err = poll(ctx, 3*time.Minute, "the release", func(ctx context.Context) error {
		body, err := ask(ctx, client, "http://hello.dev.bench.apps."+b.lab+".internal/")
		switch now := time.Now(); {
		case err != nil:
			return err
		case !strings.Contains(body, `"version":"`+version+`"`):
			oldest = now
		case newest.IsZero():
			newest = now
		}
		if newest.IsZero() || time.Since(newest) < quiet || time.Since(oldest) < quiet {
			return errors.New("not yet")
		}
		return nil
	})
	if err == nil {
		_, err = b.command(ctx, "appliance", "order", "show", environment, order.Name, "--wait", "2m")
	}
	return newest.Sub(begun), max(0, oldest.Sub(newest)), err
}

func ask(ctx context.Context, client *http.Client, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return string(body), err
}

// burden measures the controllers with few objects and with many.
func (b *bench) burden(ctx context.Context) error {
	few, err := b.controllers(ctx)
	if err != nil {
		return err
	}
	b.say("%d applications and %d orders", manyApplications, manyOrders)
	begun := time.Now()
	if err := b.makeMany(ctx); err != nil {
		return err
	}
	made := time.Since(begun)
	err = poll(ctx, 15*time.Minute, "the orders", func(ctx context.Context) error {
		out, err := b.command(ctx, "sh", "-c", "appliance kubectl -n "+environment+" get releaseorders --no-headers | grep -cw Done; true")
		if err != nil {
			return err
		}
		if done, _ := strconv.Atoi(strings.TrimSpace(out)); done < manyOrders { // nothing is said where nothing can be asked
			return fmt.Errorf("%d orders are done", done)
		}
		return nil
	})
	if err != nil {
		return err
	}
	all := time.Since(begun)
	many, err := b.controllers(ctx)
	if err != nil {
		return err
	}
	label := fmt.Sprintf("with %d applications and %d orders", manyApplications, manyOrders)
	b.table.add(row{what: "controllers, memory (PSS) " + label, unit: "MiB", value: many.pss, baseline: few.pss, baselineMeaning: "with one"})
	b.table.add(row{what: "controllers, processor use " + label, unit: "% of a core", value: 100 * many.cpu / burdenIdle.Seconds(), baseline: 100 * few.cpu / burdenIdle.Seconds(), baselineMeaning: "with one"})
	b.table.add(row{what: "  to make them all", unit: "s", value: made.Seconds()})
	b.table.add(row{what: "  until all orders are done", unit: "s", value: all.Seconds()})
	return nil
}

// controllers is the memory of the platform's controllers after a while, and the processor time that they take in it.
func (b *bench) controllers(ctx context.Context) (process, error) {
	read := func() (process, error) {
		all, err := processesOf(b.host)
		for _, p := range all {
			if p.name == "tenancy" {
				return p, err
			}
		}
		return process{}, errors.Join(err, errors.New("the controllers do not run"))
	}
	before, err := read()
	if err != nil {
		return before, err
	}
	select {
	case <-ctx.Done():
		return before, ctx.Err()
	case <-time.After(burdenIdle):
	}
	after, err := read()
	after.cpu -= before.cpu
	return after, err
}

// makeMany makes stopped applications, a release of each, and orders for them, round and round.
func (b *bench) makeMany(ctx context.Context) error {
	out, err := b.command(ctx, "appliance", "order", "list", environment, "-o", "json")
	if err != nil {
		return err
	}
	var known []struct{ Author string } // who we are
	if err := json.Unmarshal([]byte(out), &known); err != nil || len(known) == 0 {
		return fmt.Errorf("no order is known: %w", err)
	}
	var objects, orders strings.Builder
	const image = "islet.internal/samples/none@sha256:0000000000000000000000000000000000000000000000000000000000000000"
	for i := range manyApplications {
		name := fmt.Sprintf("many-%d", i)
		objects.WriteString(applicationOf(name, image, true))
		fmt.Fprintf(&objects, `---
apiVersion: islet.dev/v1alpha1
kind: Release
metadata: {name: %[1]s-1, namespace: %[2]s}
spec: {application: %[1]s, version: "1", template: {components: [{name: %[1]s, image: %[3]s}]}}
`, name, environment, image)
	}
	for i := range manyOrders {
		name := fmt.Sprintf("many-%d", i%manyApplications)
		fmt.Fprintf(&orders, `---
apiVersion: islet.dev/v1alpha1
kind: ReleaseOrder
metadata: {name: %[1]s-1-%[2]d, namespace: %[3]s}
spec: {application: %[1]s, release: %[1]s-1, author: %[4]q, verifySeconds: 1}
`, name, i/manyApplications+1, environment, known[0].Author)
	}
	for _, text := range []string{objects.String(), orders.String()} {
		if err := b.host.WriteFile("/root/many.yaml", []byte(text), 0o600); err != nil {
			return err
		}
		if _, err := b.command(ctx, "appliance", "kubectl", "create", "-f", "/root/many.yaml"); err != nil {
			return err
		}
	}
	return nil
}
