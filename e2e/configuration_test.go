package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
)

// configRules are those of the tenant press, for all its environments.
const configRules = `rules:
- {key: WORKERS, type: Integer, min: 1, max: 64}
- {key: LOG_LEVEL, enum: [info, debug]}
- {key: DB_PASSWORD, kind: Secret, min: 8}
entries:
- {key: LOG_LEVEL, value: info}
`

// environmentConfiguration compares two environments of a tenant and brings one up to the other, with values that are pinned, a
// secret that was sealed elsewhere, and a conflict. What applications would run with is looked at in the API.
func environmentConfiguration(t *testing.T, p *platform) {
	begun := time.Now()
	p.write(t, "/root/rules.yaml", configRules)
	p.run(t, "appliance", "config", "apply", "press", "/root/rules.yaml", "--base")
	p.write(t, "/root/secret", "hunter2-dev\n")
	key := strings.TrimSpace(p.run(t, "appliance", "config", "key"))
	p.write(t, "/root/sealed", p.run(t, "appliance", "config", "seal", "press", "DB_PASSWORD", "/root/secret", "--site-key", key))
	p.run(t, "appliance", "config", "set", "press-dev", "WORKERS=4", "DB_HOST=10.0.7.3", "--sealed", "DB_PASSWORD=/root/sealed")
	p.run(t, "appliance", "config", "set", "press-prod", "--pin", "DB_HOST=10.0.9.9")
	p.awaitVariables(t, "press-dev", "environment", map[string]string{"LOG_LEVEL": "info", "WORKERS": "4", "DB_HOST": "10.0.7.3"}, "hunter2-dev")
	configRefusals(t, p)

	// By plan, then in earnest: the pinned value stays.
	before := p.layerVersion(t, "press-prod")
	plan := p.run(t, "appliance", "config", "sync", "press-dev", "press-prod", "--plan")
	if after := p.layerVersion(t, "press-prod"); after != before || !strings.Contains(plan, "pinned") || strings.Contains(plan, "hunter2") {
		t.Errorf("a plan has made version %s of %s, or tells\n%s", after, before, plan)
	}
	p.run(t, "appliance", "config", "sync", "press-dev", "press-prod")
	p.awaitVariables(t, "press-prod", "environment", map[string]string{"LOG_LEVEL": "info", "WORKERS": "4", "DB_HOST": "10.0.9.9"}, "hunter2-dev")
	p.differ(t, []string{"DB_HOST both"})

	// Both change a value: a conflict that nothing is done about unasked.
	p.run(t, "appliance", "config", "set", "press-dev", "WORKERS=8", "LOG_LEVEL=debug")
	p.run(t, "appliance", "config", "set", "press-prod", "WORKERS=16")
	before = p.layerVersion(t, "press-prod")
	for _, args := range [][]string{{"--plan"}, {}} {
		if code := p.exitCode(t, append([]string{"config", "sync", "press-dev", "press-prod"}, args...)...); code != int(cli.CodeConflict) {
			t.Errorf("a conflict, %q: exit code %d", args, code)
		}
	}
	if after := p.layerVersion(t, "press-prod"); after != before {
		t.Errorf("a conflict has made version %s of %s", after, before)
	}
	p.differ(t, []string{"DB_HOST both", "LOG_LEVEL press-dev", "WORKERS both"})
	p.run(t, "appliance", "config", "sync", "press-dev", "press-prod", "--key", "LOG_LEVEL")
	p.run(t, "appliance", "config", "sync", "press-dev", "press-prod", "--conflicts", "left")
	p.awaitVariables(t, "press-prod", "environment", map[string]string{"LOG_LEVEL": "debug", "WORKERS": "8", "DB_HOST": "10.0.9.9"}, "hunter2-dev")
	p.differ(t, []string{"DB_HOST both"})
	applicationLayer(t, p)
	t.Logf("configuration took %s", time.Since(begun).Round(time.Second))
}

// configRefusals are values that rules do not allow, by the command line and behind its back.
func configRefusals(t *testing.T, p *platform) {
	before := p.layerVersion(t, "press-dev")
	p.write(t, "/root/short", "short")
	p.run(t, "appliance", "config", "set", "bakery-dev", "WORKERS=1000") // the rules of others
	for _, c := range []struct{ want, command string }{
		{"is more than 64", "config set press-dev WORKERS=65"},
		{"is none of info, debug", "config set press-dev WORKERS=2 LOG_LEVEL=loud"},
		{"to be of kind Secret", "config set press-dev DB_PASSWORD=plain-as-day"},
		{"less than 8 characters", "config set press-dev --secret DB_PASSWORD=/root/short"},
		{"another tenant or key", "config set bakery-dev --sealed DB_PASSWORD=/root/sealed"},
		{"two environments of one tenant", "config sync press-dev bakery-dev"},
		{"a secret has a sealed value", `kubectl -n press-dev patch cfg environment --type=merge -p {"spec":{"entries":[{"key":"A","kind":"Secret","value":"x"}]}}`},
	} {
		out, err := p.host.Output(t.Context(), append([]string{"appliance"}, strings.Fields(c.command)...)...)
		if err == nil || !strings.Contains(out+err.Error(), c.want) {
			t.Errorf("%s: %v\n%s", c.command, err, out)
		}
	}
	if after := p.layerVersion(t, "press-dev"); after != before {
		t.Errorf("what was refused has made version %s of %s", after, before)
	}
	good := p.configLayer(t, "press-dev", "environment")
	if _, err := p.kubectl(t.Context(), "-n", "press-dev", "create", "-f", p.write(t, "/root/web.yaml",
		"apiVersion: islet.dev/v1alpha1\nkind: ConfigSet\nmetadata: {name: web}\nspec: {layer: Application, entries: [{key: WORKERS, value: many}]}\n")); err != nil {
		t.Error(err)
	}
	await(t, policyLimit, "the controller refuses what kubectl has put in", func(context.Context) error {
		if web := p.configLayer(t, "press-dev", "web"); web.Ready || !strings.Contains(web.Why, `"many" is no whole number`) {
			return fmt.Errorf("%+v", web)
		}
		return nil
	})
	if _, err := p.kubectl(t.Context(), "-n", "press-dev", "delete", "cfg", "web"); err != nil {
		t.Error(err)
	}
	if now := p.configLayer(t, "press-dev", "environment"); now != good {
		t.Errorf("an application's layer has made %+v of %+v", now, good)
	}
}

// applicationLayer gives an application values of its own in one environment, and what was made of a revision is put back.
func applicationLayer(t *testing.T, p *platform) {
	p.run(t, "appliance", "config", "set", "press-dev", "--app", "web", "WORKERS=2", "PATH_PREFIX=/web")
	want := map[string]string{"LOG_LEVEL": "debug", "WORKERS": "2", "DB_HOST": "10.0.7.3", "PATH_PREFIX": "/web"}
	p.awaitVariables(t, "press-dev", "web", want, "hunter2-dev")
	maps := p.kube.CoreV1().ConfigMaps("press-dev")
	name := "config-web-" + p.configLayer(t, "press-dev", "web").Revision
	if _, err := maps.Patch(t.Context(), name, "application/merge-patch+json", []byte(`{"data":{"WORKERS":"9"}}`), metav1.PatchOptions{}); !apierrors.IsInvalid(err) {
		t.Errorf("a revision can be changed: %v", err)
	}
	if err := maps.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
		t.Error(err)
	}
	p.awaitVariables(t, "press-dev", "web", want, "hunter2-dev")
	if out, err := p.kubectl(t.Context(), "auth", "can-i", "update", "configsets.islet.dev/press", "-n", "islet-tenants", "--as=ann"); !strings.HasPrefix(out, "yes") {
		t.Errorf("an owner and the tenant's base: %s (%v)", out, err)
	}
	for _, what := range []string{"configsets.islet.dev/press --as=ben", "configsets.islet.dev/bakery --as=ann"} {
		if out, _ := p.kubectl(t.Context(), append([]string{"auth", "can-i", "get", "-n", "islet-tenants"}, strings.Fields(what)...)...); strings.HasPrefix(out, "yes") {
			t.Errorf("another tenant's base: %s", what)
		}
	}
}

// configRow is a layer as `config list` tells of it.
type configRow struct {
	Application, Layer, Revision, Why string
	Ready                             bool
}

func (p *platform) configLayer(t *testing.T, environment, name string) configRow {
	t.Helper()
	for _, row := range runJSON[[]configRow](t, p, "config", "list", environment) {
		if row.Application == name || row.Application == "" && name == "environment" {
			return row
		}
	}
	return configRow{}
}

// layerVersion is that of an environment's own layer but for its status: what was asked for.
func (p *platform) layerVersion(t *testing.T, environment string) string {
	t.Helper()
	out, err := p.kubectl(t.Context(), "-n", environment, "get", "cfg", "environment", "-o", "jsonpath={.metadata.generation}")
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// awaitVariables waits until that is what a layer's revision consists of, with one secret.
func (p *platform) awaitVariables(t *testing.T, environment, layer string, variables map[string]string, password string) {
	t.Helper()
	await(t, policyLimit, "configuration of "+environment+" is rendered", func(ctx context.Context) error {
		row := p.configLayer(t, environment, layer)
		if !row.Ready {
			return errors.New(row.Why)
		}
		name := "config-" + layer + "-" + row.Revision
		var rendered *corev1.ConfigMap
		rendered, err := p.kube.CoreV1().ConfigMaps(environment).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		secret, err := p.kube.CoreV1().Secrets(environment).Get(ctx, name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if fmt.Sprint(rendered.Data) != fmt.Sprint(variables) || string(secret.Data["DB_PASSWORD"]) != password || rendered.Immutable == nil || !*rendered.Immutable {
			return fmt.Errorf("%v", rendered.Data)
		}
		return nil
	})
}

// differ compares dev with prod, and expects these keys, each with the side that differs from the base.
func (p *platform) differ(t *testing.T, want []string) {
	t.Helper()
	type row struct{ Key, Changed string }
	diff := runJSON[struct {
		Left, Right string
		Keys        []row
	}](t, p, "config", "diff", "press-dev", "press-prod")
	var got []string
	for _, k := range diff.Keys {
		got = append(got, k.Key+" "+strings.NewReplacer("left", diff.Left, "right", diff.Right).Replace(k.Changed))
	}
	// an application that only one side has is told of elsewhere
	got = slices.DeleteFunc(got, func(s string) bool { return strings.HasPrefix(s, "PATH_PREFIX") })
	slices.Sort(got)
	if !slices.Equal(slices.Compact(got), want) {
		t.Errorf("differences are %q, want %q", got, want)
	}
}

// write puts a file on the host and returns its path.
func (p *platform) write(t *testing.T, path, content string) string {
	t.Helper()
	if err := p.host.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
