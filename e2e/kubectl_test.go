package e2e

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"islet/appliance/lab"
)

// operator uses the kubectl of the host as an operator would: top, logs, exec and port-forward.
func operator(t *testing.T, p *platform) {
	pod := p.samplePod(t)
	logs, err := p.kubectl(t.Context(), "-n", sampleNamespace, "logs", pod.Name)
	if err != nil || !strings.Contains(logs, `"level":"INFO"`) {
		t.Errorf("logs: %v: %s", err, logs)
	}
	out, err := p.hello(t.Context(), pod, "fetch", "http://127.0.0.1:8080/healthz")
	if err != nil || strings.TrimSpace(out) != "ok" {
		t.Errorf("exec: %q, %v", out, err)
	}
	_, err = p.hello(t.Context(), pod, "--no-such-flag")
	if code, ran := lab.ExitCode(err); !ran || code != 1 {
		t.Errorf("exec of what fails with 1: exit code %d, %v", code, err)
	}
	p.portForward(t)
	top := func(want string, args ...string) func(ctx context.Context) error {
		return func(ctx context.Context) error {
			out, err := p.kubectl(ctx, append([]string{"top"}, args...)...)
			if err == nil && !regexp.MustCompile(want).MatchString(out) {
				err = fmt.Errorf("no line like %s in:\n%s", want, out)
			}
			return err
		}
	}
	took := await(t, 2*time.Minute, "top nodes", top(`(?m)^node1\s+\d+m\s+\d+%\s+\d+Mi\s+\d+%`, "nodes"))
	t.Logf("top nodes after %s", took.Round(time.Millisecond))
	await(t, 2*time.Minute, "top pods", top(`(?m)^hello-\S+\s+\d+m\s+\d+Mi`, "pods", "-n", sampleNamespace))
}

// portForward reaches the sample application over the API server and the kubelet.
func (p *platform) portForward(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- p.host.Exec(ctx, lab.Command{
			Args: []string{"appliance", "kubectl", "-n", sampleNamespace, "port-forward", "service/hello", ":80"}, Stdout: in, Stderr: in,
		})
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatalf("port-forward says nothing: %v", <-ended)
	}
	address := regexp.MustCompile(`127\.0\.0\.1:\d+`).FindString(lines.Text())
	if address == "" {
		t.Fatalf("port-forward says %q", lines.Text())
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, out)
	}()
	if err := get(t.Context(), p.inside(), "http://"+address+"/", `"version":"v1"`); err != nil {
		t.Errorf("port-forward: %v", err)
	}
	cancel()
	<-ended //nolint:errcheck // ended by the signal, however kubectl calls that
	<-drained
}
