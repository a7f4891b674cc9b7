package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/fetch"
	"islet/appliance/lab"
	"islet/bundle"
)

// barePath is where the new machines have the executable without a bundle.
const barePath = "/root/appliance"

// bareSite is a site whose machines, but for the first, come with the bare executable.
type bareSite struct {
	first, second, agent *platform
	bare                 []byte
	sum                  string // of the whole file on the first server
}

// TestBare lets a server and an agent join that have the bare executable, and takes the agent's process and its token in the
// middle of the fetch.
func TestBare(t *testing.T) {
	t.Parallel()
	all := bootSite(t, "bare", 3, func(c *config.Config) { c.Datastore.Store = config.StoreEtcd })
	s := &bareSite{first: all[0], second: all[1], agent: all[2]}
	executable, err := bundle.OpenExecutable(executable(t))
	if err == nil {
		s.bare, err = io.ReadAll(executable)
	}
	if err != nil {
		t.Fatal(err)
	}
	_ = executable.Close()
	runParts(t, s, all, []part[bareSite]{
		{"refusals", (*bareSite).refusals},
		{"server", (*bareSite).joinServer},
		{"killed agent", (*bareSite).joinKilled},
		{"images", (*bareSite).images},
		{"power cut", (*bareSite).powerCut},
		{"forgotten", (*bareSite).forgotten},
	})
}

func (s *bareSite) token(t *testing.T, role config.Role) (token, id string) {
	t.Helper()
	made := runJSON[struct{ Token, ID string }](t, s.first, "token", "create", "--role", string(role))
	return made.Token, made.ID
}

// strip leaves the bare executable on a machine, and nothing else of the platform.
func (s *bareSite) strip(t *testing.T, p *platform, content []byte) {
	t.Helper()
	p.run(t, "rm", "-f", "/usr/local/bin/appliance", barePath)
	if err := p.host.WriteFile(barePath, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// refusals leave nothing behind.
func (s *bareSite) refusals(t *testing.T) {
	await(t, readyLimit, "the first server is ready", s.first.ready)
	s.sum = fileSum(t, s.first)
	token, _ := s.token(t, config.RoleAgent)
	other := bytes.Clone(s.bare)
	other[len(other)-1] ^= 1
	s.strip(t, s.agent, other)
	if code := s.agent.bareCode(t, "join", "--token", token); code != int(cli.CodeVersion) {
		t.Errorf("another executable: exit code %d", code)
	}
	s.strip(t, s.agent, s.bare)
	plan := s.agent.run(t, barePath, "join", "--token", token, "--plan")
	if !strings.Contains(plan, "fetch what the site runs") {
		t.Errorf("the plan:\n%s", plan)
	}
	if left := s.agent.run(t, "sh", "-c", "ls -d /etc/appliance /var/lib/appliance 2>/dev/null; true"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func fileSum(t *testing.T, p *platform) string {
	t.Helper()
	sum, _, _ := strings.Cut(p.run(t, "sha256sum", "/usr/local/bin/appliance"), " ")
	return sum
}

// join makes a node of a machine, and returns what it fetched.
func (s *bareSite) join(t *testing.T, p *platform, token string) fetch.Result {
	t.Helper()
	var out, errs bytes.Buffer
	begun := time.Now()
	if err := p.host.Exec(t.Context(), lab.Command{Args: []string{barePath, "join", "--token", token, "--no-start", "-o", "json"}, Stdout: &out, Stderr: &errs}); err != nil {
		t.Fatalf("join: %v\n%s%s", err, out.String(), errs.String())
	}
	var report struct{ Fetched fetch.Result }
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatalf("%v in %s", err, out.String())
	}
	t.Logf("%s was let in after %s: %+v\n%s", p.host.Name(), time.Since(begun).Round(10*time.Millisecond), report.Fetched, errs.String())
	if sum := fileSum(t, p); sum != s.sum {
		t.Errorf("%s has another file than the first server", p.host.Name())
	}
	if left := p.run(t, "sh", "-c", "ls -d /etc/appliance/joining.json /var/lib/appliance/fetched 2>/dev/null; true"); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	return report.Fetched
}

func (s *bareSite) joinServer(t *testing.T) {
	s.strip(t, s.second, s.bare)
	token, _ := s.token(t, config.RoleServer)
	got := s.join(t, s.second, token)
	if got.Fetched != got.Bytes || got.Kept != 0 || len(got.From) != 1 {
		t.Errorf("fetched %+v", got)
	}
	await(t, readyLimit, "the second server stands by", func(ctx context.Context) error {
		status, err := s.second.daemon().Status(ctx)
		if err == nil && (!status.Ready || !status.Standby) {
			err = fmt.Errorf("ready %t, standby %t", status.Ready, status.Standby)
		}
		return err
	})
}

// joinKilled kills the join when it has a good part, and takes its token away. The machine is known to the site already, and
// goes on.
func (s *bareSite) joinKilled(t *testing.T) {
	const executableMiB, enoughMiB, limit = 50, 30, 3000
	token, id := s.token(t, config.RoleAgent)
	out := s.agent.run(t, "sh", "-c", fmt.Sprintf(`%s join --token %s >/root/log 2>&1 & pid=$!
		i=0; while [ $i -lt %d ] && [ "${have:-0}" -lt %d ]; do sleep 0.02; i=$((i+1)); have=$(du -sm /var/lib/appliance/fetched 2>/dev/null | cut -f1); done
		kill -9 $pid; wait $pid; cat /root/log; ls /etc/appliance; du -sm /var/lib/appliance/fetched`, barePath, token, limit, executableMiB+enoughMiB))
	if !strings.Contains(out, "joining.json") || strings.Contains(out, "config.yaml") {
		t.Fatalf("it was not killed in its middle:\n%s", out)
	}
	if code := s.agent.bareCode(t, "install", "--yes"); code != int(cli.CodeExists) {
		t.Errorf("an installation of a machine that is joining: exit code %d", code)
	}
	s.first.run(t, "appliance", "token", "revoke", id)
	got := s.join(t, s.agent, token)
	if got.Kept < enoughMiB/5<<20 || got.Kept+got.Fetched != got.Bytes || len(got.From) != 2 {
		t.Errorf("fetched %+v", got)
	}
	await(t, readyLimit, "the agent is ready", s.agent.ready)
}

func (p *platform) bareCode(t *testing.T, args ...string) int {
	t.Helper()
	_, err := p.host.Output(t.Context(), append([]string{barePath}, args...)...)
	code, ran := lab.ExitCode(err)
	if !ran {
		t.Fatal(err)
	}
	return code
}

// images finds every image of the bundle on every machine, and no trace of a pull or of a packet that found no way.
func (s *bareSite) images(t *testing.T) {
	if err := s.first.connect(); err != nil {
		t.Fatal(err)
	}
	carried := len(s.first.imagesPresent(t))
	for _, p := range []*platform{s.second, s.agent} {
		if n := len(p.imagesPresent(t)); n != carried || n == 0 {
			t.Errorf("%s has %d images, the first server %d", p.host.Name(), n, carried)
		}
	}
	s.first.pullEvents(t)
	if escapes, err := s.first.lab.Escapes(); err != nil || escapes.Total() != 0 {
		t.Errorf("something tried to leave: %+v, %v", escapes, err)
	}
}

// powerCut shows that the agent is like any other: it has its file.
func (s *bareSite) powerCut(t *testing.T) {
	if err := s.agent.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.agent.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the agent is ready again", s.agent.ready)
}

// forgotten removes the agent and keeps its machine: the site's lists do not have it any more.
func (s *bareSite) forgotten(t *testing.T) {
	name := s.agent.host.Name()
	type certificate struct{ Node string }
	listed := func(want bool) func([]certificate) error {
		return func(list []certificate) error {
			if got := slices.ContainsFunc(list, func(c certificate) bool { return c.Node == name }); got != want {
				return fmt.Errorf("listed: %t", got)
			}
			return nil
		}
	}
	awaitJSON(t, time.Minute, "the agent's certificates are listed", s.first, []string{"cert", "list"}, listed(true))
	s.first.run(t, "appliance", "node", "remove", name, "--yes", "--keep-machine")
	awaitJSON(t, time.Minute, "the agent's certificates are not listed any more", s.first, []string{"cert", "list"}, listed(false))
}
