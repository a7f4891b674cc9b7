package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/spf13/cobra"

	"islet/appliance/lab"
)

// The test binary is what labs run as PID 1 of their hosts.
func init() { lab.MaybeInit() }

// callLab runs `appliance lab ARGS` with labs' disks below dir.
func callLab(ctx context.Context, dir string, args ...string) result {
	var out, errs bytes.Buffer
	e := NewEnv(Stdio{In: strings.NewReader("input"), Out: &out, Err: &errs})
	root := newRoot(e)
	if !slices.ContainsFunc(commands(), func(newCommand func(*Env) *cobra.Command) bool { return newCommand(e).Name() == "lab" }) {
		root.AddCommand(newLabCommand(e))
	}
	root.SetArgs(append([]string{"lab", "--dir", dir}, args...))
	err := root.ExecuteContext(ctx)
	if err != nil {
		printError(&errs, err)
	}
	return result{CodeOf(err), out.String(), errs.String()}
}

func TestLabCommands(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("labs need root: namespaces, mounts and control groups cannot be made without")
	}
	dir, name := t.TempDir(), fmt.Sprintf("cli-%d", os.Getpid())
	node := name + "/node1"
	config := filepath.Join(dir, "site.yaml")
	if err := os.WriteFile(config, []byte("for node1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { callLab(context.Background(), dir, "down", name) })
	for _, step := range []struct {
		args string
		code Code
		out  string // contained in the output
		err  string // contained in the error
	}{
		{"up --no-server --hosts 2 --config node1=" + config + " --name " + name, CodeOK, "lab exec " + node, ""},
		{"up --no-server --name " + name, CodeExists, "", "choose another --name"},
		{"list", CodeOK, name, ""},
		{"status " + name, CodeOK, "nothing tried to leave the lab", ""},
		{"status nosuchlab", CodeUnexpected, "", "next: `appliance lab list`"},
		{"exec " + node + " -- hostname", CodeOK, "node1\n", ""},
		{"exec " + node + " cat", CodeOK, "input", ""},
		{"exec -e A=b " + node + " -- printenv A", CodeOK, "b\n", ""},
		{"exec " + node + " -- sh -c false", 1, "", ""},
		{"exec " + node + " -- cat /etc/appliance/config.yaml", CodeOK, "for node1\n", ""},
		{"exec " + name + "/node2 -- cat /etc/appliance/config.yaml", 1, "", "No such file"},
		{"exec " + node + " -- no-such-program", CodeNoFile, "", "no-such-program"},
		{"exec " + name + "/node9 -- true", CodeUnexpected, "", "host node9"},
		{"cut " + node, CodeOK, "", ""},
		{"status " + name, CodeOK, "pulled", ""},
		{"heal " + node, CodeOK, "", ""},
		{"cut " + node + " node2", CodeOK, "", ""},
		{"heal " + node + " node2", CodeOK, "", ""},
		{"kill " + node, CodeOK, "", ""},
		{"exec " + node + " -- true", CodeUnexpected, "", "lab start HOST"},
		{"start " + node, CodeOK, "", ""},
		{"start " + node, CodeExists, "", "is running"},
		{"stop " + node, CodeOK, "", ""},
		{"logs " + node, CodeOK, "powering off", ""},
		{"service " + name + "/node2 restart", CodeUnexpected, "", "no boot command"},
		{"service " + name + "/node2 signal -s NONE", CodeUsage, "", "no such signal"},
		{"service " + name + "/node2 fly", CodeUsage, "", "want start, stop"},
		{"down --all " + name, CodeUsage, "", "exclude"},
		{"down " + name, CodeOK, "", ""},
		{"down " + name, CodeOK, "", ""},
		{"up --hosts 0", CodeUsage, "", "--hosts 0"},
		{"up --subnet x", CodeUsage, "", "--subnet"},
		{"up --config /no/such/file", CodeNoFile, "", "read answer file"},
		{"up --config node3=" + config, CodeUsage, "", "no such host"},
		{"up --config " + config + " --config " + config, CodeUsage, "", "second file"},
	} {
		got := callLab(t.Context(), dir, strings.Fields(step.args)...)
		if got.code != step.code || !strings.Contains(got.out, step.out) || !strings.Contains(got.err, step.err) {
			t.Errorf("lab %s: got %+v, want code %d, output with %q, error with %q", step.args, got, step.code, step.out, step.err)
		}
	}
}

func TestLabUpBootsTheServer(t *testing.T) {
	t.Parallel()
	bundle := filepath.Join(t.TempDir(), "bundle")
	if err := os.WriteFile(bundle, []byte("for node2"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := NewEnv(Stdio{})
	e.bundlePath = bundle
	c := &labCommands{env: e}
	spec, err := c.spec(labUpFlags{name: "x", hosts: 2, servers: 1, subnet: "10.1.0.0/24", configs: []string{"node2=" + bundle}})
	if err != nil {
		t.Fatal(err)
	}
	const path = "/etc/appliance/config.yaml"
	for i, want := range []string{"name: x", "for node2"} {
		host := spec.Hosts[i]
		if !slices.Equal(host.Boot.Args, []string{"appliance", "server"}) || !strings.Contains(string(host.Files[path].Data), want) {
			t.Errorf("%s boots %q with the answer file %q, want one with %q", host.Name, host.Boot.Args, host.Files[path].Data, want)
		}
	}
	if spec.Shared[labBundle] != bundle || !slices.Equal(spec.Hosts[0].Boot.Env, []string{BundleVariable + "=" + labBundle}) {
		t.Errorf("a bundle of its own is not passed on: %v, %v", spec.Shared, spec.Hosts[0].Boot.Env)
	}
}

func TestLabListJSONAndForward(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("labs need root: namespaces, mounts and control groups cannot be made without")
	}
	dir, name := t.TempDir(), fmt.Sprintf("fwd-%d", os.Getpid())
	t.Cleanup(func() { callLab(context.Background(), dir, "down", name) })
	up := callLab(t.Context(), dir, "up", "--no-server", "--name", name, "-o", "json")
	var view labView
	if err := json.Unmarshal([]byte(up.out), &view); err != nil || view.Name != name || !view.Hosts[0].Running || view.Escapes == nil {
		t.Fatalf("up: %+v, %v", up, err)
	}
	var views []labView
	list := callLab(t.Context(), dir, "list", "-o", "json")
	if err := json.Unmarshal([]byte(list.out), &views); err != nil || !slices.ContainsFunc(views, func(v labView) bool { return v.Name == name }) {
		t.Errorf("list: %+v, %v", list, err)
	}

	port := freePort(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var running sync.WaitGroup
	running.Go(func() {
		got := callLab(ctx, dir, "forward", name, "node1:80", "--listen", "127.0.0.1:"+port)
		if got.code != CodeOK {
			t.Errorf("forward: %+v", got)
		}
	})
	running.Go(func() {
		callLab(ctx, dir, "exec", name+"/node1", "--", "sh", "-c",
			`while :; do printf 'HTTP/1.0 200 OK\r\n\r\nhello' | nc -l -p 80 -q 0 || perl -MIO::Socket::INET -e '
				$s = IO::Socket::INET->new(LocalPort => 80, Listen => 5, ReuseAddr => 1); while ($c = $s->accept) { sysread $c, $b, 999; print $c "HTTP/1.0 200 OK\r\n\r\nhello"; close $c }'; done`)
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		body, err := fetchFrom(t.Context(), "http://127.0.0.1:"+port)
		if err == nil && body == "hello" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("through the forward: %q, %v", body, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	busy := callLab(t.Context(), dir, "forward", name, "node1:80", "--listen", "127.0.0.1:"+port)
	if busy.code == CodeOK || !strings.Contains(busy.err, "--listen") {
		t.Errorf("a port that is taken: %+v", busy)
	}
	cancel()
	running.Wait()
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err := errors.Join(err, listener.Close()); err != nil {
		t.Fatal(err)
	}
	return port
}

func fetchFrom(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestLabShellOnATerminal(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("labs need root: namespaces, mounts and control groups cannot be made without")
	}
	dir, name := t.TempDir(), fmt.Sprintf("tty-%d", os.Getpid())
	t.Cleanup(func() { callLab(context.Background(), dir, "down", name) })
	if up := callLab(t.Context(), dir, "up", "--no-server", "--name", name); up.code != CodeOK {
		t.Fatal(up.err)
	}
	keyboard, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	if err := pty.Setsize(keyboard, &pty.Winsize{Rows: 31, Cols: 101}); err != nil {
		t.Fatal(err)
	}
	if _, err := keyboard.WriteString("stty size; hostname; echo $HOME; exit 5\n"); err != nil {
		t.Fatal(err)
	}
	var screen bytes.Buffer
	var reading sync.WaitGroup
	reading.Go(func() { _, _ = io.Copy(&screen, keyboard) }) // ends with EIO when the terminal is closed

	e := NewEnv(Stdio{In: terminal, Out: terminal, Err: terminal})
	cmd := newLabCommand(e)
	cmd.SetArgs([]string{"--dir", dir, "exec", name + "/node1"})
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	err = cmd.ExecuteContext(t.Context())
	if closeErr := terminal.Close(); closeErr != nil {
		t.Error(closeErr)
	}
	// a goroutine of the command still reads the terminal; what it gets is for nobody, and lets go of the terminal
	if _, writeErr := keyboard.WriteString("\n"); writeErr != nil {
		t.Error(writeErr)
	}
	reading.Wait()
	if CodeOf(err) != 5 {
		t.Errorf("exit code %d, %v, want 5", CodeOf(err), err)
	}
	for _, want := range []string{"31 101\r\n", "node1\r\n", "/root\r\n"} {
		if !strings.Contains(screen.String(), want) {
			t.Errorf("the screen lacks %q: %q", want, &screen)
		}
	}
}
