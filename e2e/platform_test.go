package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/lab"
	"islet/appliance/layout"
)

// readyLimit is how long a start may take, with room for a machine that is busy with something else.
const readyLimit = 2 * time.Minute

var paths = layout.Default()

// platform is one host with the appliance in it.
type platform struct {
	lab   *lab.Lab
	host  *lab.Host
	site  string
	begun time.Time // when its making began

	rest *rest.Config // set by connect
	kube kubernetes.Interface
}

// boot makes a host and starts the appliance in it, and waits for nothing more. The lab goes with the test.
func boot(t *testing.T, name string) *platform {
	t.Helper()
	return bootSite(t, name, 1)[0]
}

// bootSite makes hosts in one lab. The first has an answer file; the others are bare, and their service manager tries to
// start the appliance all the same. answers change what the first one is told.
func bootSite(t *testing.T, name string, hosts int, answers ...func(*config.Config)) []*platform {
	t.Helper()
	site, begun := fmt.Sprintf("%s%d-%s", labPrefix, os.Getpid(), name), time.Now()
	c := config.Default()
	c.Site.Name = site
	for _, set := range answers {
		set(&c)
	}
	answer, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	spec := lab.Spec{Name: site, Executable: executable(t)}
	for i := range hosts {
		spec.Hosts = append(spec.Hosts, lab.HostSpec{Name: fmt.Sprintf("node%d", i+1), Boot: lab.Service{Args: []string{"appliance", "server"}}})
	}
	spec.Hosts[0].Files = map[string]lab.File{paths.Config(): {Data: answer, Mode: 0o600}}
	return raise(t, spec, begun)
}

// raise makes the hosts of a lab, which goes with the test.
func raise(t *testing.T, spec lab.Spec, begun time.Time) []*platform {
	t.Helper()
	site := spec.Name
	takePlace(t, len(spec.Hosts))
	l, err := lab.Up(t.Context(), spec, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("E2E_KEEP") != "" {
			t.Logf("E2E_KEEP: lab %s stays; `appliance lab down %s` removes it", site, site)
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := l.Down(ctx); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
	})
	var all []*platform
	for _, host := range l.Hosts() {
		all = append(all, &platform{lab: l, host: host, site: site, begun: begun})
	}
	return all
}

// daemon is a client of the host's node daemon. It is made anew for each use: the socket is found through PID 1 of the
// host, which is another one after a power cut.
func (p *platform) daemon() *api.Client { return api.NewClient(p.host.Path(paths.APISocket())) }

// ready complains while a component is not ready, or something is wrong.
func (p *platform) ready(ctx context.Context) error {
	s, err := p.daemon().Status(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range s.Components {
		if c.State != component.Ready {
			errs = append(errs, fmt.Errorf("%s is %s (%s)", c.Name, c.State, c.Reason))
		}
	}
	for _, problem := range s.Problems {
		errs = append(errs, fmt.Errorf("problem %s: %s", problem.Code, problem.Detail))
	}
	return errors.Join(errs...)
}

// component returns the state of one component.
func (p *platform) component(ctx context.Context, name string) (component.Status, error) {
	s, err := p.daemon().Status(ctx)
	if err != nil {
		return component.Status{}, err
	}
	i := slices.IndexFunc(s.Components, func(c component.Status) bool { return c.Name == name })
	if i < 0 {
		return component.Status{}, fmt.Errorf("there is no component %s", name)
	}
	return s.Components[i], nil
}

// run runs a command in the host and fails the test if the command fails.
func (p *platform) run(t *testing.T, args ...string) string {
	t.Helper()
	out, err := p.host.Output(t.Context(), args...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// runJSON decodes what a command of the appliance prints.
func runJSON[T any](t *testing.T, p *platform, args ...string) T {
	t.Helper()
	v, err := askJSON[T](t.Context(), p, args...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// askJSON is runJSON for a command that may fail, such as one that is asked again and again while a site comes up.
func askJSON[T any](ctx context.Context, p *platform, args ...string) (v T, err error) {
	out, err := p.host.Output(ctx, append(append([]string{"appliance"}, args...), "-o", "json")...)
	if err == nil {
		err = json.Unmarshal([]byte(out), &v)
	}
	if err != nil {
		err = fmt.Errorf("appliance %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return v, err
}

// awaitJSON asks a command until judge has nothing to complain about what it prints.
func awaitJSON[T any](t *testing.T, limit time.Duration, what string, p *platform, args []string, judge func(T) error) time.Duration {
	t.Helper()
	return await(t, limit, what, func(ctx context.Context) error {
		v, err := askJSON[T](ctx, p, args...)
		if err != nil {
			return err
		}
		return judge(v)
	})
}

// exitCode is that of a command of the appliance in the host.
func (p *platform) exitCode(t *testing.T, args ...string) int {
	t.Helper()
	_, err := p.host.Output(t.Context(), append([]string{"appliance"}, args...)...)
	code, ran := lab.ExitCode(err)
	if !ran {
		t.Fatalf("appliance %s: %v", strings.Join(args, " "), err)
	}
	return code
}
