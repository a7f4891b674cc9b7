package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestCatalogue makes services, logs in to them by bindings, cuts the power while they are written to, and looks for what they have confirmed.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	p := bootSite(t, "catalogue", 1)[0]
	defer p.diagnose(t)
	await(t, readyLimit, "the node is ready", p.ready)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	p.run(t, "appliance", "tenant", "create", "press")
	p.run(t, "appliance", "env", "create", "press", "dev")
	p.run(t, "appliance", "env", "create", "press", "prod")
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-prod": true})
	step(t, p, "service", serviceBound)
	step(t, p, "refusals", serviceRefusals)
	step(t, p, "power cut", servicePowerCut)
	step(t, p, "removal", serviceRemoved)
}

// redisClient starts a pod that logs in by the binding shop, and stays.
func (p *platform) redisClient(t *testing.T) {
	t.Helper()
	image := ""
	for _, row := range runJSON[[]imageRow](t, p, "image", "list") {
		if reference, _, _ := strings.Cut(row.Reference, ":"); strings.HasSuffix(reference, "/services/redis") {
			image = reference + "@" + row.Digest
		}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "press-dev", Name: "client"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{
		Name: "main", Image: image, Command: []string{"/usr/bin/redis-cli", "--no-auth-warning", "-u", "$(URI)", "-r", "10000000", "-i", "1", "ping"},
		Env: []corev1.EnvVar{{Name: "URI", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: "shop"}, Key: "uri"}}}},
	}}}}
	if _, err := p.kube.CoreV1().Pods(pod.Namespace).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// redis runs one command of Redis in the pod client, as the binding says.
func (p *platform) redis(ctx context.Context, command ...string) (string, error) {
	secret, err := p.kube.CoreV1().Secrets("press-dev").Get(ctx, "shop", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	return p.inClient(ctx, append([]string{"-u", string(secret.Data["uri"])}, command...)...)
}

func (p *platform) inClient(ctx context.Context, args ...string) (string, error) {
	out, err := p.kubectl(ctx, append([]string{"-n", "press-dev", "exec", "client", "--", "/usr/bin/redis-cli", "--no-auth-warning"}, args...)...)
	return strings.TrimSpace(out), err
}

// awaitRedis waits until a command is answered so: a pod that has just begun is let at others a moment later.
func (p *platform) awaitRedis(t *testing.T, want func(string) bool, command ...string) {
	t.Helper()
	await(t, policyLimit, strings.Join(command, " "), func(ctx context.Context) error {
		got, err := p.redis(ctx, command...)
		if err == nil && !want(got) {
			err = fmt.Errorf("answered %q", got)
		}
		return err
	})
}

// sql runs statements in the instance db, as its binding says and by its name.
func (p *platform) sql(ctx context.Context, statements string) (string, error) {
	secret, err := p.kube.CoreV1().Secrets("press-dev").Get(ctx, "db-binding", metav1.GetOptions{})
	if err != nil {
		return "", err
	}
	out, err := p.kubectl(ctx, "-n", "press-dev", "exec", "db-0", "--", "/usr/lib/postgresql/15/bin/psql", "-At", string(secret.Data["uri"]), "-c", statements)
	return strings.TrimSpace(out), err
}

func (p *platform) awaitSQL(t *testing.T, want func(string) bool, statements string) {
	t.Helper()
	await(t, policyLimit, statements, func(ctx context.Context) error {
		got, err := p.sql(ctx, statements)
		if err == nil && !want(got) {
			err = fmt.Errorf("answered %q", got)
		}
		return err
	})
}

func is(want string) func(string) bool { return func(got string) bool { return got == want } }

// serviceBound makes a service, binds it, and logs in with what the Secret says, and not without.
func serviceBound(t *testing.T, p *platform) {
	if out := p.run(t, "appliance", "service", "classes"); !strings.Contains(out, "redis") {
		t.Errorf("classes: %s", out)
	}
	p.run(t, "appliance", "service", "create", "press-dev", "redis", "cache", "--plan", "small", "--wait", "1m")
	p.run(t, "appliance", "service", "bind", "press-dev", "cache", "--name", "shop", "--wait", "30s")
	p.redisClient(t)
	p.awaitRedis(t, is("OK"), "set", "answer", "42")
	if out, err := p.inClient(t.Context(), "-h", "cache", "get", "answer"); !strings.Contains(out, "NOAUTH") {
		t.Errorf("without the password: %s (%v)", out, err)
	}
	p.run(t, "appliance", "service", "create", "press-dev", "postgresql", "db", "--plan", "small", "--wait", "2m")
	p.run(t, "appliance", "service", "bind", "press-dev", "db", "--wait", "30s")
	p.awaitSQL(t, func(got string) bool { return strings.HasSuffix(got, "INSERT 0 1") }, "create table if not exists t (n int); insert into t values (1)")
	if out, err := p.sql(t.Context(), "drop database postgres"); err == nil || !strings.Contains(out+err.Error(), "must be owner") {
		t.Errorf("an application's user may everything: %s (%v)", out, err)
	}
}

func serviceRefusals(t *testing.T, p *platform) {
	for want, command := range map[string]string{
		"plan small of redis has 1": "service create press-prod redis cache --plan small",
		"has no plan huge, but":     "service create press-dev redis other --plan huge",
		"not found":                 "service create press-dev mongo other",
		"by which plan":             "service create press-dev redis other",
		"is bound: shop":            "service remove press-dev cache --yes",
		"stays on its plan":         `kubectl -n press-dev patch serviceinstance cache --type merge -p {"spec":{"plan":"large"}}`,
		"cannot be changed":         `kubectl -n press-dev patch serviceinstance cache --type merge -p {"spec":{"size":"9Gi"}}`,
		"size above 0":              "service create press-dev redis other --plan small --size 0",
	} {
		p.refused(t, want, command)
	}
}

// servicePowerCut writes without end, cuts the power, and finds at least what was confirmed before.
func servicePowerCut(t *testing.T, p *platform) {
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	defer func() { stop(); writers.Wait() }() // the cut has ended them
	writers.Go(func() { _, _ = p.redis(ctx, "-r", "10000000", "-i", "0.001", "incr", "count") })
	writers.Go(func() {
		_, _ = p.sql(ctx, "do $$ begin for i in 1..10000000 loop insert into t values (i); commit; end loop; end $$")
	})
	keys, rows := 0, 0
	p.awaitRedis(t, func(got string) bool { keys, _ = strconv.Atoi(got); return keys >= 200 }, "get", "count")
	p.awaitSQL(t, func(got string) bool { rows, _ = strconv.Atoi(got); return rows >= 200 }, "select count(*) from t")
	if err := p.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the node is ready again", p.ready)
	for _, name := range []string{"cache", "db"} {
		p.awaitService(t, name)
	}
	t.Logf("%d keys and %d rows were confirmed when the power was cut", keys, rows)
	p.awaitRedis(t, atLeast(keys), "get", "count")
	p.awaitRedis(t, is("42"), "get", "answer")
	p.awaitSQL(t, atLeast(rows), "select count(*) from t")
}

func atLeast(least int) func(string) bool {
	return func(got string) bool { n, err := strconv.Atoi(got); return err == nil && n >= least }
}

// awaitService waits until a service is ready whose container has been started again.
func (p *platform) awaitService(t *testing.T, name string) {
	t.Helper()
	await(t, readyLimit, name+" answers", func(ctx context.Context) error {
		pod, err := p.kube.CoreV1().Pods("press-dev").Get(ctx, name+"-0", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for _, c := range pod.Status.ContainerStatuses {
			if c.Ready && c.RestartCount > 0 {
				return nil
			}
		}
		return errors.New("its container has not been started again")
	})
	awaitJSON(t, readyLimit, name+" is ready", p, []string{"service", "show", "press-dev", name}, func(s struct{ State, Message string }) error {
		if s.State != "Ready" {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

// serviceRemoved removes the service without and with its data.
func serviceRemoved(t *testing.T, p *platform) {
	p.run(t, "appliance", "service", "unbind", "press-dev", "shop")
	p.run(t, "appliance", "service", "remove", "press-dev", "cache", "--yes")
	secrets, claims := p.kube.CoreV1().Secrets("press-dev"), p.kube.CoreV1().PersistentVolumeClaims("press-dev")
	for _, name := range []string{"shop", "cache-service"} {
		await(t, policyLimit, "no password stays in "+name, func(ctx context.Context) error {
			_, err := secrets.Get(ctx, name, metav1.GetOptions{})
			return gone(err)
		})
	}
	await(t, readyLimit, "its pod is gone", func(ctx context.Context) error {
		_, err := p.kube.CoreV1().Pods("press-dev").Get(ctx, "cache-0", metav1.GetOptions{})
		return gone(err)
	})
	p.run(t, "appliance", "service", "create", "press-dev", "redis", "cache", "--plan", "small", "--wait", "1m")
	p.run(t, "appliance", "service", "bind", "press-dev", "cache", "--name", "shop", "--wait", "30s")
	p.awaitRedis(t, is("42"), "get", "answer") // its data has stayed
	p.run(t, "appliance", "service", "unbind", "press-dev", "shop")
	p.run(t, "appliance", "service", "remove", "press-dev", "cache", "--yes", "--delete-data")
	await(t, readyLimit, "its volume is gone, and no other", func(ctx context.Context) error {
		list, err := claims.List(ctx, metav1.ListOptions{})
		if err == nil && (len(list.Items) != 1 || !strings.HasSuffix(list.Items[0].Name, "-db-0")) {
			err = fmt.Errorf("%d are there", len(list.Items))
		}
		return err
	})
}

// gone wants an object not to be there.
func gone(err error) error {
	if err == nil {
		return errors.New("it is there")
	}
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
