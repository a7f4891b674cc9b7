package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

// rate is how many requests are sent in a second, whatever becomes of them.
const rate = 40

// crowd is a number of people who ask for one address at a fixed rate, some of them with a header or a cookie.
type crowd struct {
	mu       sync.Mutex
	versions map[string]map[string]int // how often who was answered by which version
	failed   []string
}

// asker is one kind of people.
type asker struct{ name, header, value string }

var askers = []asker{{"anybody", "", ""}, {"header", "X-Try", "new"}, {"cookie", "Cookie", "a=b; try=new; c=d"}, {"other cookie", "Cookie", "try=newer"}}

// crowdAt asks until stop is called, which waits for the last answer.
func crowdAt(t *testing.T, p *platform, url string) (c *crowd, stop func()) {
	t.Helper()
	c = &crowd{versions: map[string]map[string]int{}}
	client := p.outside(t, 80)
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			who := askers[n%len(askers)]
			asking.Go(func() { c.ask(context.WithoutCancel(ctx), client, url, who) })
			<-tick.C
		}
	})
	return c, func() { cancel(); asking.Wait() }
}

func (c *crowd) ask(ctx context.Context, client *http.Client, url string, who asker) {
	version, err := versionOf(ctx, client, url, who)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = append(c.failed, time.Now().Format(time.TimeOnly)+" "+who.name+": "+err.Error())
		return
	}
	if c.versions[who.name] == nil {
		c.versions[who.name] = map[string]int{}
	}
	c.versions[who.name][version]++
}

// versionOf asks the sample application for its version.
func versionOf(ctx context.Context, client *http.Client, url string, who asker) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Accept", "application/json")
	if who.header != "" {
		request.Header.Set(who.header, who.value)
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %d, %w", response.StatusCode, err)
	}
	_, rest, _ := strings.Cut(string(body), `"version":"`)
	version, _, _ := strings.Cut(rest, `"`)
	return version, nil
}

// begin forgets what was answered so far, but for failures.
func (c *crowd) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.versions = map[string]map[string]int{}
}

// share is how many of 100 requests of some people a version has answered, and of how many.
func (c *crowd) share(version string, people ...string) (percent, of int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	answered := 0
	for _, who := range people {
		for _, n := range c.versions[who] {
			of += n
		}
		answered += c.versions[who][version]
	}
	return 100 * answered / max(of, 1), of
}

// unharmed complains about every request that failed.
func (c *crowd) unharmed(t *testing.T, during string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	asked := len(c.failed)
	for _, answers := range c.versions {
		for _, n := range answers {
			asked += n
		}
	}
	t.Logf("%s: %d requests at %d in a second, %d failed; answered by %v", during, asked, rate, len(c.failed), c.versions)
	if len(c.failed) > 0 || asked == 0 {
		t.Errorf("%s: %s", during, strings.Join(c.failed[:min(len(c.failed), 10)], "\n"))
	}
	c.failed = nil
}

// order makes one and returns its name.
func (p *platform) order(t *testing.T, environment string, args ...string) string {
	t.Helper()
	return runJSON[struct{ Name string }](t, p, append([]string{"order", "create", environment}, args...)...).Name
}

// deployments are the names of those of an environment.
func (p *platform) deployments(t *testing.T, environment string) string {
	t.Helper()
	out, err := p.kubectl(t.Context(), "-n", environment, "get", "deployments", "-l", v1alpha1.LabelApplication+"=hello", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(out), " ")
}

// releasesBeside switches between two releases that run beside each other, there and back, with people asking all the time.
func releasesBeside(t *testing.T, p *platform) {
	const environment, url = "press-dev", "http://hello.dev.press.apps."
	c, stop := crowdAt(t, p, url+p.site+".internal/")
	defer stop()
	c.begin()
	ordered := p.order(t, environment, "hello-2", "--strategy", "blue-green", "--verify", "1s", "--keep", "8s")
	p.awaitOrder(t, environment, ordered, v1alpha1.PhaseVerifying, "is kept for 8s")
	if got := p.deployments(t, environment); got != "deployment.apps/hello deployment.apps/hello-green" {
		t.Errorf("while the old release is kept there are %s", got)
	}
	p.serves(t, "dev", "v2")
	p.awaitOrder(t, environment, ordered, v1alpha1.PhaseDone, "")
	await(t, readyLimit, "the old release is gone", func(context.Context) error {
		if got := p.deployments(t, environment); got != "deployment.apps/hello-green" {
			return fmt.Errorf("there are %s", got)
		}
		return nil
	})
	p.refused(t, "the colour changes only where", `kubectl -n press-dev patch app hello --type merge -p {"spec":{"colour":"Blue"}}`)
	c.unharmed(t, "blue-green")
	p.run(t, "appliance", "order", "rollback", environment, ordered, "--strategy", "blue-green", "--verify", "1s", "--keep", "1s", "--wait", "2m")
	p.serves(t, "dev", "v1")
	c.unharmed(t, "rollback of blue-green")
	p.deafRelease(t, environment)
	for _, bad := range []string{"hello-3", "hello-4"} { // an image that there is not, and one whose pods are never ready
		p.awaitOrder(t, environment, p.order(t, environment, bad, "--strategy", "blue-green"), v1alpha1.PhaseRolledBack, "")
	}
	c.unharmed(t, "blue-green of bad releases")
	splitRequests(t, p, c)
	stop() // nobody writes any more
	if got := slices.Sorted(maps.Keys(c.versions["anybody"])); !slices.Equal(got, []string{"v2"}) {
		t.Errorf("at the end answer %v", got)
	}
}

// releaseWithErrors rolls out a release that is ready, and answers with errors for a moment that no probe notices.
func releaseWithErrors(t *testing.T, p *platform) {
	const environment, most = "press-dev", 60
	url, client := "http://hello.dev.press.apps."+p.site+".internal/", p.outside(t, 80)
	ordered := p.order(t, environment, "hello-1", "--strategy", "blue-green", "--keep", "5m", "--max-errors", "10")
	p.awaitOrder(t, environment, ordered, v1alpha1.PhaseVerifying, "")
	p.serves(t, "dev", "v1")
	<-time.After(5 * time.Second) // it has looked at what was answered until now
	if _, err := send(t.Context(), client, http.MethodPost, url+"fail?for=2s", ""); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range most {
		if _, err := send(t.Context(), client, http.MethodGet, url, ""); err != nil {
			failed++
		}
	}
	t.Logf("%d of %d requests were answered with errors", failed, most)
	p.awaitOrder(t, environment, ordered, v1alpha1.PhaseRolledBack, "requests were answered with errors; 10 of 100 may be")
	p.serves(t, "dev", "v2")
}

// releaseHooks rolls out a release with a migration and a test, and two of which one does not work.
func releaseHooks(t *testing.T, p *platform) {
	const environment, good = "press-dev", `{name: migrate, when: Before, command: [/hello, fetch, "http://hello/"], runAsUser: 65532}`
	const try = `{name: try, when: Verify, command: [/hello, fetch, "http://hello$(SERVICE_ENDING)/"], runAsUser: 65532}`
	bad := strings.Replace(good, `"http://hello/"]`, `"http://hello:81/"], retries: 0`, 1)
	for _, c := range []struct {
		version string
		hooks   []string
		want    v1alpha1.Phase
		part    string
	}{
		{"5", []string{good, try}, v1alpha1.PhaseDone, ""},
		{"6", []string{bad, try}, v1alpha1.PhaseRolledBack, "the hook migrate failed: exit code 1"},
		{"7", []string{good, strings.Replace(try, `/"]`, `:82/"], retries: 0`, 1)}, v1alpha1.PhaseRolledBack, "the hook try failed: exit code 1"},
	} {
		file := "/root/hooks.yaml"
		if err := p.host.WriteFile(file, []byte("- "+strings.Join(c.hooks, "\n- ")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		p.run(t, "appliance", "release", "create", environment, "hello", c.version, "--hooks", file)
		strategy := []string{"hello-" + c.version, "--verify", "1s"}
		if c.version == "7" {
			strategy = append(strategy, "--strategy", "blue-green", "--keep", "1s")
		}
		p.awaitOrder(t, environment, p.order(t, environment, strategy...), c.want, c.part)
	}
	p.serves(t, "dev", "v1")
}

// deafRelease makes release 4 of the second: its pods listen where nobody asks.
func (p *platform) deafRelease(t *testing.T, environment string) {
	t.Helper()
	out := p.run(t, "appliance", "kubectl", "-n", environment, "get", "release", "hello-2", "-o", "json")
	var r v1alpha1.Release
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	r.ObjectMeta = metav1.ObjectMeta{Namespace: environment, Name: "hello-4"}
	r.Spec.Version, r.Spec.Template.Components[0].Args = "4", []string{"--listen", ":9090"}
	raw, err := json.Marshal(r)
	if err == nil {
		err = p.host.WriteFile("/root/deaf.json", raw, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "appliance", "kubectl", "create", "-f", "/root/deaf.json")
}

// splitRequests gives a release a part of the requests, abandons that, and goes the whole way.
func splitRequests(t *testing.T, p *platform, c *crowd) {
	const environment, settle = "press-dev", 3 * time.Second
	args := []string{"hello-2", "--strategy", "ab", "--step", "20:15s", "--step", "70:10s", "--header", "X-Try=new", "--cookie", "try=new", "--keep", "1s", "--verify", "1s"}
	given := func(name string, weight int) {
		p.awaitOrder(t, environment, name, v1alpha1.PhaseRunning, fmt.Sprintf("gets %d of 100 requests", weight))
		<-time.After(settle) // all gateways know of it
		c.begin()
		const enough = 50 // requests of each kind
		await(t, readyLimit, "enough requests", func(context.Context) error {
			if _, of := c.share("v2", "anybody"); of < enough {
				return fmt.Errorf("%d", of)
			}
			return nil
		})
		if got, of := c.share("v2", "header", "cookie"); got != 100 {
			t.Errorf("the new release answered %d of 100 requests (of %d) with the header or the cookie", got, of)
		}
		if got, of := c.share("v2", "anybody", "other cookie"); got < weight-15 || got > weight+15 {
			t.Errorf("the new release answered %d of 100 requests (of %d) of others; want %d", got, of, weight)
		}
	}
	abandoned := p.order(t, environment, args...)
	given(abandoned, 20)
	p.run(t, "appliance", "order", "abandon", environment, abandoned)
	p.awaitOrder(t, environment, abandoned, v1alpha1.PhaseRolledBack, "abandoned")
	c.unharmed(t, "ab that is abandoned")
	p.serves(t, "dev", "v1")
	ordered := p.order(t, environment, args...)
	given(ordered, 20)
	given(ordered, 70)
	p.awaitOrder(t, environment, ordered, v1alpha1.PhaseDone, "")
	c.unharmed(t, "ab")
	<-time.After(settle)
	c.begin()
	await(t, readyLimit, "answers at the end", func(context.Context) error {
		if _, of := c.share("v2", "anybody"); of < 10 {
			return fmt.Errorf("%d", of)
		}
		return nil
	})
}
