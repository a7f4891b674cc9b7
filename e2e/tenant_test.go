package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
)

// TestTenants makes two tenants, and looks from both sides for what keeps them apart.
func TestTenants(t *testing.T) {
	t.Parallel()
	p := bootSite(t, "tenants", 1)[0]
	defer p.diagnose(t)
	await(t, readyLimit, "the node is ready", p.ready)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	p.run(t, "appliance", "tenant", "create", "press", "--member", "User:ann=owner", "--member", "Group:night=viewer", "--quota", "pods=6")
	p.run(t, "appliance", "tenant", "create", "bakery", "--member", "User:ben=deployer")
	p.run(t, "appliance", "env", "create", "press", "dev", "--quota", "pods=4")
	p.run(t, "appliance", "env", "create", "press", "prod", "--quota", "pods=2")
	p.run(t, "appliance", "env", "create", "bakery", "dev")
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-prod": true, "bakery-dev": true})
	step(t, p, "quota", tenantQuota)
	step(t, p, "refusals", environmentRefusals)
	step(t, p, "rights", tenantRights)
	step(t, p, "network", tenantNetwork)
	step(t, p, "routes", routesCompared)
	step(t, p, "healing", environmentHeals)
	step(t, p, "removal", environmentRemoved)
}

type environmentRow struct {
	Name, Why, Domain string
	Ready             bool
}

// awaitEnvironments waits until these are all there are, each ready or not.
func (p *platform) awaitEnvironments(t *testing.T, want map[string]bool) {
	t.Helper()
	awaitJSON(t, readyLimit, "environments are as they should be", p, []string{"env", "list"}, func(rows []environmentRow) error {
		if len(rows) != len(want) {
			return fmt.Errorf("%+v", rows)
		}
		for _, r := range rows {
			// one that the controller has not looked at yet is not ready either
			if ready, ok := want[r.Name]; !ok || ready != r.Ready || !ready && !strings.Contains(r.Why, "are left") {
				return fmt.Errorf("%+v", r)
			}
		}
		return nil
	})
}

// tenantQuota asks for more than the tenant has, by an environment and by pods.
func tenantQuota(t *testing.T, p *platform) {
	p.run(t, "appliance", "env", "create", "press", "test", "--class", "dev", "--quota", "pods=1")
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-prod": true, "bakery-dev": true, "press-test": false})
	if _, err := p.kube.CoreV1().Pods("press-test").Create(t.Context(), newPod("press-test", "greedy"), metav1.CreateOptions{}); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("a pod in an environment without a share: %v", err)
	}
	p.run(t, "appliance", "tenant", "set", "press", "--quota", "pods=8")
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-prod": true, "bakery-dev": true, "press-test": true})
	p.run(t, "appliance", "env", "remove", "press-test", "--yes")
}

// environmentRefusals are what no environment of that class may have, whoever asks.
func environmentRefusals(t *testing.T, p *platform) {
	for _, c := range []struct{ what, want, command string }{
		{"one replica in prod", "at least 2 replicas", "kubectl -n press-prod create deployment one --image=x --replicas=1"},
		{"a privileged pod in dev", "violates PodSecurity", `kubectl -n press-dev run root --image=x --overrides={"spec":{"containers":[{"name":"root","image":"x","securityContext":{"privileged":true}}]}}`},
		{"one replica as the rule", "at least 2 replicas", "env create press live --class prod --min-replicas 1"},
		{"prod that is no longer prod", "stays one", "env set press-prod --class dev"},
		{"another tenant's name", "named after its tenant", `kubectl create -f /root/other.yaml`},
		{"a program as a member", "those of programs", "tenant set press --member Group:system:masters=viewer"},
		{"a tenant with environments", "environments", "tenant remove press --yes"},
		{"no such tenant", "not found", "env create nobody dev"},
	} {
		if strings.Contains(c.command, "other.yaml") {
			if err := p.host.WriteFile("/root/other.yaml", []byte("apiVersion: islet.dev/v1alpha1\nkind: Environment\nmetadata: {name: kube-system}\nspec: {tenant: press, name: dev, class: dev}\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err := p.host.Output(t.Context(), append([]string{"appliance"}, strings.Fields(c.command)...)...)
		if err == nil || !strings.Contains(out+err.Error(), c.want) {
			t.Errorf("%s: %v\n%s", c.what, err, out)
		}
	}
	if code := p.exitCode(t, "env", "show-nothing"); code != int(cli.CodeUsage) {
		t.Errorf("no such command: exit code %d", code)
	}
}

// tenantRights asks the API what members may do, in their tenant's environments and in others'.
func tenantRights(t *testing.T, p *platform) {
	for _, c := range []struct {
		who, what, where string
		may              bool
	}{
		{"--as=ann", "create deployments.apps", "press-dev", true},
		{"--as=ann", "create pods --subresource=exec", "press-dev", true},
		{"--as=ann", "create pods --subresource=exec", "press-prod", false},
		{"--as=ann", "create pods --subresource=ephemeralcontainers", "press-prod", false},
		{"--as=ann", "get pods", "bakery-dev", false},
		{"--as=ben", "get secrets", "press-dev", false},
		{"--as=ben", "create deployments.apps", "bakery-dev", true},
		{"--as=ann", "delete networkpolicies.networking.k8s.io", "press-dev", false},
		{"--as=ann", "create networkpolicies.networking.k8s.io", "press-dev", false},
		{"--as=ann", "update resourcequotas", "press-dev", false},
		{"--as=ann", "create rolebindings.rbac.authorization.k8s.io", "press-dev", false},
		{"--as=ann", "update namespaces/press-dev", "press-dev", false},
		{"--as=ann", "update environments.islet.dev/press-dev", "press-dev", false},
		{"--as=ann", "get environments.islet.dev/press-prod", "press-dev", true},
		{"--as=ann", "get environments.islet.dev/bakery-dev", "press-dev", false},
		{"--as=ann", "list tenants.islet.dev", "press-dev", false},
		{"--as=eve --as-group=night", "get pods", "press-prod", true},
		{"--as=eve --as-group=night", "get secrets", "press-prod", false},
		{"--as=eve", "get pods", "press-prod", false},
	} {
		args := strings.Fields("auth can-i " + c.what + " -n " + c.where + " " + c.who)
		out, err := p.kubectl(t.Context(), args...)
		if may := strings.HasPrefix(out, "yes"); may != c.may {
			t.Errorf("%s %s in %s: %t (%v)", c.who, c.what, c.where, may, err)
		}
	}
}

// tenantNetwork finds an open way within an environment, and none between environments or tenants, in either direction.
func tenantNetwork(t *testing.T, p *platform) {
	server, friend := p.startPod(t, newPod("press-dev", "server")), p.startPod(t, newPod("press-dev", "friend"))
	stranger := p.startPod(t, newPod("bakery-dev", "stranger"))
	service := p.expose(t, "press-dev", "server", corev1.ServiceTypeClusterIP)
	byName := "http://server.press-dev.svc.cluster.local/"
	await(t, policyLimit, "friend reaches the service by its name", func(ctx context.Context) error { return p.reaches(ctx, friend, byName, "server") })
	for _, url := range []string{podURL(server), "http://" + service.Spec.ClusterIP + "/"} {
		await(t, policyLimit, "stranger is kept from "+url, func(ctx context.Context) error { return p.blocked(ctx, stranger, url) })
	}
	await(t, policyLimit, "server is kept from the stranger", func(ctx context.Context) error { return p.blocked(ctx, server, podURL(stranger)) })
}

// environmentHeals takes away what keeps a tenant in, as an administrator could by mistake, also while the daemon is down.
func environmentHeals(t *testing.T, p *platform) {
	policies, quotas := p.kube.NetworkingV1().NetworkPolicies("press-dev"), p.kube.CoreV1().ResourceQuotas("press-dev")
	there := func(ctx context.Context) error {
		_, err := policies.Get(ctx, "islet-nothing", metav1.GetOptions{})
		if err == nil {
			_, err = quotas.Get(ctx, "islet", metav1.GetOptions{})
		}
		return err
	}
	spoil := func() {
		t.Helper()
		if err := policies.Delete(t.Context(), "islet-nothing", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := quotas.Delete(t.Context(), "islet", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	spoil()
	t.Logf("made again within %s", await(t, policyLimit, "policy and quota are there again", there).Round(10*time.Millisecond))
	if err := p.host.SignalBoot(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the daemon is down", func(ctx context.Context) error {
		if p.ready(ctx) == nil {
			return errors.New("it answers")
		}
		return nil
	})
	await(t, readyLimit, "the node is ready again", p.ready)
	spoil()
	await(t, policyLimit, "policy and quota are there again, after the daemon was killed", there)
}

// environmentRemoved removes one, with what is in it.
func environmentRemoved(t *testing.T, p *platform) {
	p.run(t, "appliance", "env", "remove", "bakery-dev", "--yes")
	p.run(t, "appliance", "tenant", "remove", "bakery", "--yes")
	await(t, 2*time.Minute, "the namespace is gone", func(ctx context.Context) error {
		_, err := p.kube.CoreV1().Namespaces().Get(ctx, "bakery-dev", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
	await(t, policyLimit, "the tenant's role is gone", func(ctx context.Context) error {
		_, err := p.kube.RbacV1().ClusterRoles().Get(ctx, "islet:tenant:bakery", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return fmt.Errorf("it is there: %w", err)
	})
}
