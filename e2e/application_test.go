package e2e

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/paas/v1alpha1"
)

// TestApplications runs the sample application through a tenant's environments by releases, and lets some of them fail.
func TestApplications(t *testing.T) {
	t.Parallel()
	p := bootSite(t, "apps", 1)[0]
	defer p.diagnose(t)
	await(t, readyLimit, "the node is ready", p.ready)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	p.run(t, "appliance", "tenant", "create", "press", "--member", "User:ann=owner", "--member", "User:bob=deployer")
	for _, name := range []string{"dev", "test", "prod"} {
		p.run(t, "appliance", "env", "create", "press", name)
	}
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-test": true, "press-prod": true})
	step(t, p, "application", applicationRuns)
	step(t, p, "refusals", applicationRefusals)
	step(t, p, "causes", applicationCauses)
	step(t, p, "release", releaseAndBack)
	step(t, p, "promotion", releasePromoted)
	step(t, p, "hooks", releaseHooks)
	step(t, p, "strategies", releasesBeside)
	step(t, p, "errors", releaseWithErrors)
	step(t, p, "order refusals", orderRefusals)
}

// sampleImage is the sample application of a version, by digest.
func (p *platform) sampleImage(t *testing.T, version string) string {
	t.Helper()
	for _, row := range runJSON[[]imageRow](t, p, "image", "list") {
		if name, ok := strings.CutSuffix(row.Reference, ":"+version); ok && strings.HasSuffix(name, "/samples/hello") {
			return name + "@" + row.Digest
		}
	}
	t.Fatalf("the bundle has no sample application of version %s", version)
	return ""
}

// application is the file of one, with more lines for its component.
func (p *platform) application(t *testing.T, environment, name, image string, more ...string) string {
	t.Helper()
	text := fmt.Sprintf(`apiVersion: islet.dev/v1alpha1
kind: Application
metadata: {name: %s, namespace: %s}
spec:
  expose: [{http: {}}]
  components:
  - name: %s
    image: %s
    runAsUser: 65532
    readOnlyRoot: true
    startSeconds: 10
    ports: [{name: http, port: 8080, service: 80}]
    readiness: {http: /readyz, everySeconds: 1}
%s
`, name, environment, name, image, strings.Join(more, "\n"))
	file := "/root/" + environment + "-" + name + ".yaml"
	if err := p.host.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// serves waits until an environment's sample application answers through the gateway, as a version.
func (p *platform) serves(t *testing.T, environment, version string) {
	t.Helper()
	url := fmt.Sprintf("http://hello.%s.press.apps.%s.internal/", environment, p.site)
	await(t, policyLimit, url, func(ctx context.Context) error {
		return get(ctx, p.outside(t, 80), url, fmt.Sprintf(`"version":%q`, version))
	})
}

type applicationRow struct {
	State, Reason, Message, Ready, Release string
	Objects                                []string
}

func (p *platform) awaitApplication(t *testing.T, environment, name string, judge func(applicationRow) bool) {
	t.Helper()
	awaitJSON(t, readyLimit, name+" in "+environment+" is as it should be", p, []string{"app", "show", environment, name}, func(a applicationRow) error {
		if !judge(a) {
			return fmt.Errorf("%+v", a)
		}
		return nil
	})
}

// applicationRuns goes from nothing to an answer from outside, and through everything that one does to an application.
func applicationRuns(t *testing.T, p *platform) {
	file := p.application(t, "press-dev", "hello", p.sampleImage(t, "v1"))
	p.run(t, "appliance", "app", "apply", "-f", file, "--wait", "1m")
	p.serves(t, "dev", "v1")
	p.run(t, "appliance", "app", "scale", "press-dev", "hello", "2", "--wait", "1m")
	p.awaitApplication(t, "press-dev", "hello", func(a applicationRow) bool {
		return a.Ready == "2/2" && slices.Contains(a.Objects, "PodDisruptionBudget/hello")
	})
	if out := p.run(t, "appliance", "app", "exec", "press-dev", "hello", "--", "/hello", "fetch", "http://hello/"); !strings.Contains(out, `"version":"v1"`) {
		t.Errorf("exec: %s", out)
	}
	if out := p.run(t, "appliance", "app", "logs", "press-dev", "hello"); strings.Count(out, "listening") < 2 {
		t.Errorf("logs of two pods: %s", out)
	}
	p.run(t, "appliance", "app", "stop", "press-dev", "hello", "--wait", "1m")
	p.run(t, "appliance", "app", "start", "press-dev", "hello", "--wait", "1m")
	p.run(t, "appliance", "kubectl", "-n", "press-dev", "patch", "app", "hello", "--type", "merge", "-p", `{"spec":{"expose":[{"nodePort":{"port":30080}}]}}`)
	await(t, policyLimit, "the port of the node answers", func(ctx context.Context) error {
		return get(ctx, p.inside(), "http://"+net.JoinHostPort(p.host.Addr().String(), "30080")+"/", `"version":"v1"`)
	})
	p.awaitApplication(t, "press-dev", "hello", func(a applicationRow) bool { return !slices.Contains(a.Objects, "HTTPRoute/hello") })
	if out, err := p.kubectl(t.Context(), "-n", "press-dev", "get", "httproutes", "-o", "name"); err != nil || strings.TrimSpace(out) != "" {
		t.Errorf("a route that is wanted no more: %s (%v)", out, err)
	}
	p.run(t, "appliance", "app", "apply", "-f", file, "--wait", "1m")
}

// refused runs a command that must fail with the words.
func (p *platform) refused(t *testing.T, want, command string) {
	t.Helper()
	out, err := p.host.Output(t.Context(), append([]string{"appliance"}, strings.Fields(command)...)...)
	if err == nil || !strings.Contains(out+err.Error(), want) {
		t.Errorf("%s: want %q: %v\n%s", command, want, err, out)
	}
}

func applicationRefusals(t *testing.T, p *platform) {
	v1 := p.sampleImage(t, "v1")
	name, _, _ := strings.Cut(v1, "@")
	for want, file := range map[string]string{
		"named by its digest":  p.application(t, "press-dev", "tagged", name+":v1"),
		"at least 2 replicas":  p.application(t, "press-prod", "single", v1, "    replicas: 1"),
		"by a release order":   p.application(t, "press-prod", "direct", v1),
		"should be less than":  p.application(t, "press-dev", "many", v1, "    replicas: 9999"),
		"one of claim, empty,": p.application(t, "press-dev", "folder", v1, "    volumes: [{name: x, mountPath: /x}]"),
	} {
		p.refused(t, want, "kubectl create -f "+file)
		p.refused(t, want, "app apply -f "+file)
	}
	p.refused(t, `unknown field "replica"`, "app apply -f "+p.application(t, "press-dev", "misspelt", v1, "    replica: 2"))
	if code := p.exitCode(t, "app", "show", "press-dev", "nothing"); code != int(cli.CodeNoObject) {
		t.Errorf("no such application: exit code %d", code)
	}
}

// applicationCauses makes applications that cannot run, and reads why.
func applicationCauses(t *testing.T, p *platform) {
	v1 := p.sampleImage(t, "v1")
	causes := []struct{ name, reason, part, image, more string }{
		{"dead", "ImageMissing", "cannot be had", v1[:len(v1)-4] + "dead", ""},
		{"crash", "CrashLoop", "exit code 1: hello: crashed as told", v1, "    args: [--crash-after, 100ms]"},
		{"greedy", "Unschedulable", "Insufficient cpu", v1, "    resources: {requests: {cpu: 900}}"},
		{"deaf", "ProbeFailing", "not ready after 10 s", v1, "    args: [--listen, ':9090']"},
		{"bare", "NotConfigured", "not found", v1, "    env: [{name: X, valueFrom: {secretKeyRef: {name: none, key: x}}}]"},
	}
	for _, c := range causes {
		p.run(t, "appliance", "app", "apply", "-f", p.application(t, "press-dev", c.name, c.image, c.more))
	}
	for _, c := range causes {
		p.awaitApplication(t, "press-dev", c.name, func(a applicationRow) bool {
			return a.State == string(v1alpha1.StateDegraded) && a.Reason == c.reason && strings.Contains(a.Message, c.part)
		})
		p.run(t, "appliance", "app", "remove", "press-dev", c.name, "--yes")
	}
}

type orderRow struct{ Name, Phase, Message, Failure, PreviousRelease string }

func (p *platform) awaitOrder(t *testing.T, environment, name string, want v1alpha1.Phase, part string) {
	t.Helper()
	awaitJSON(t, readyLimit, "order "+name+" in "+environment+" is "+string(want), p, []string{"order", "show", environment, name}, func(o orderRow) error {
		if o.Phase != string(want) || !strings.Contains(o.Message+o.Failure, part) {
			return fmt.Errorf("%+v", o)
		}
		return nil
	})
}

// releaseAndBack rolls two releases out in dev, the controllers being ended meanwhile, and one that cannot run, which goes back by itself.
func releaseAndBack(t *testing.T, p *platform) {
	v2 := p.sampleImage(t, "v2")
	p.run(t, "appliance", "release", "create", "press-dev", "hello", "1", "--as", "bob")
	p.run(t, "appliance", "release", "create", "press-dev", "hello", "2", "--image", v2)
	p.run(t, "appliance", "release", "create", "press-dev", "hello", "3", "--image", v2[:len(v2)-4]+"dead")
	p.refused(t, "never changes", `kubectl -n press-dev patch release hello-1 --type merge -p {"spec":{"notes":"x"}}`)
	p.run(t, "appliance", "order", "create", "press-dev", "hello-1", "--verify", "1s", "--as", "bob", "--wait", "1m")
	p.run(t, "appliance", "order", "create", "press-dev", "hello-2", "--verify", "1s")
	p.awaitOrder(t, "press-dev", "hello-2-1", v1alpha1.PhaseRunning, "")
	p.run(t, "appliance", "component", "restart", "tenancy")
	p.awaitOrder(t, "press-dev", "hello-2-1", v1alpha1.PhaseDone, "")
	p.serves(t, "dev", "v2")
	p.run(t, "appliance", "order", "create", "press-dev", "hello-3")
	p.awaitOrder(t, "press-dev", "hello-3-1", v1alpha1.PhaseRolledBack, "cannot be had")
	p.serves(t, "dev", "v2")
	p.run(t, "appliance", "order", "rollback", "press-dev", "hello-2-1", "--verify", "1s", "--wait", "1m")
	p.serves(t, "dev", "v1")
}

// releasePromoted brings a release to prod, past everything that is in its way.
func releasePromoted(t *testing.T, p *platform) {
	p.refused(t, "which comes before", "order create press-prod hello-2 --wait 30s")
	p.run(t, "appliance", "order", "create", "press-test", "hello-2", "--verify", "1s", "--wait", "1m")
	p.run(t, "appliance", "env", "set", "press-prod", "--soak", "1h")
	p.refused(t, "must have run for 1h0m0s in press-test", "order create press-prod hello-2 --wait 30s")
	p.run(t, "appliance", "env", "set", "press-prod", "--soak", "0")
	p.run(t, "appliance", "order", "create", "press-prod", "hello-2", "--verify", "1s", "--as", "bob")
	p.awaitOrder(t, "press-prod", "hello-2-3", v1alpha1.PhasePending, "by others than bob")
	p.refused(t, "bob has made this order", "order approve press-prod hello-2-3 --as bob")
	p.refused(t, "in the name of somebody else", `kubectl -n press-prod patch order hello-2-3 --type merge -p {"spec":{"approvals":[{"by":"ann"}]}}`)
	p.refused(t, "by its controller alone", `kubectl -n press-prod patch order hello-2-3 --subresource status --type merge -p {"status":{"phase":"Approved"}}`)
	p.run(t, "appliance", "order", "approve", "press-prod", "hello-2-3", "--as", "ann")
	p.awaitOrder(t, "press-prod", "hello-2-3", v1alpha1.PhaseDone, "")
	p.serves(t, "prod", "v2")
	if test, prod := p.imagesOf(t, "press-test"), p.imagesOf(t, "press-prod"); len(test) != 1 || !slices.Equal(test, prod) {
		t.Errorf("in test runs %v, in prod %v", test, prod)
	}
	for _, beside := range []string{"create deployment beside --image=x --replicas=2", "create job beside --image=x", "create cronjob beside --image=x --schedule=@daily"} {
		p.refused(t, "by a release order", "kubectl -n press-prod "+beside)
	}
	allowed := func(pod *corev1.Pod) { // but for its coming by nobody's order
		pod.Spec.SecurityContext = &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}}
		pod.Spec.Containers[0].SecurityContext = &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}
	}
	if _, err := p.kube.CoreV1().Pods("press-prod").Create(t.Context(), newPod("press-prod", "beside", allowed), metav1.CreateOptions{}); err == nil || !strings.Contains(err.Error(), "by a release order") {
		t.Errorf("a pod of its own: %v", err)
	}
	p.refused(t, "an owner of the tenant may", "kubectl -n press-prod --as bob delete application hello")
	p.refused(t, "nobody runs programs", "app exec press-prod hello -- /hello")
}

// imagesOf are the digests of what runs in a namespace, each once.
func (p *platform) imagesOf(t *testing.T, namespace string) []string {
	t.Helper()
	pods, err := p.kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, pod := range pods.Items {
		for _, c := range pod.Status.ContainerStatuses {
			out = append(out, c.ImageID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// orderRefusals are orders that are never made, whoever asks.
func orderRefusals(t *testing.T, p *platform) {
	forged := "apiVersion: islet.dev/v1alpha1\nkind: ReleaseOrder\nmetadata: {name: forged, namespace: press-dev}\nspec: {application: hello, release: hello-1, author: ann}\n"
	if err := p.host.WriteFile("/root/forged.yaml", []byte(forged), 0o600); err != nil {
		t.Fatal(err)
	}
	p.refused(t, "you are bob, and not ann", "kubectl --as bob create -f /root/forged.yaml")
	p.refused(t, "cannot create", "order create press-dev hello-1 --as eve")
	p.run(t, "appliance", "kubectl", "patch", "env", "press-dev", "--type", "merge", "-p",
		`{"spec":{"policy":{"freezes":[{"from":"2000-01-01T00:00:00Z","to":"2999-01-01T00:00:00Z","reason":"the fair"}]}}}`)
	await(t, policyLimit, "an order in a freeze is refused", func(ctx context.Context) error {
		out, err := p.host.Output(ctx, "appliance", "kubectl", "--as", "ann", "create", "--dry-run=server", "-f", "/root/forged.yaml")
		if err == nil || !strings.Contains(out+err.Error(), "the fair") {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	})
	p.run(t, "appliance", "order", "create", "press-dev", "hello-1", "--start", "2999-06-01T00:00:00Z")
	awaitJSON(t, readyLimit, "an order waits for its time", p, []string{"order", "list", "press-dev"}, func(rows []orderRow) error {
		if !slices.ContainsFunc(rows, func(o orderRow) bool {
			return o.Phase == "Waiting" && strings.Contains(o.Message, "waits for 2999-06-01")
		}) {
			return fmt.Errorf("%+v", rows)
		}
		return nil
	})
}
