package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/lab"
	"islet/appliance/layout"
)

const (
	demoReadyTimeout  = 5 * time.Minute
	demoAnswerTimeout = 2 * time.Minute
	demoPollInterval  = 100 * time.Millisecond
)

func (c *labCommands) demoCommand() *cobra.Command {
	flags := labUpFlags{hosts: 1, servers: 1, subnet: "10.77.0.0/24", mtu: 1500}
	cmd := &cobra.Command{
		Use: "demo", Short: "Bring the platform up in a lab host and try a sample application on it", Args: cobra.NoArgs,
		Long: `demo makes a lab of one host with no way out, runs this file in it until the platform is ready, deploys
the sample application and asks it through the ingress. A lab of the same name is taken down first.
The lab is left running for a look around.`,
		Example: `  appliance lab demo
  appliance lab down demo`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.demo(cmd.Context(), flags)
		},
	}
	cmd.Flags().StringVar(&flags.name, "name", defaultLab, "`NAME` of the lab")
	return cmd
}

func (c *labCommands) demo(ctx context.Context, flags labUpFlags) error {
	begun := time.Now()
	say := func(format string, args ...any) error {
		_, err := fmt.Fprintf(c.env.Stdio.Out, "%6.1fs  "+format+"\n", append([]any{time.Since(begun).Seconds()}, args...)...)
		return err
	}
	spec, err := c.spec(flags)
	if err != nil {
		return err
	}
	if err := c.layout().Down(ctx, flags.name); err != nil && !errors.Is(err, lab.ErrNotFound) {
		return err
	}
	l, err := c.layout().Up(ctx, spec, c.env.Logger())
	if err != nil {
		return err
	}
	host := l.Hosts()[0]
	if err := say("host %s/%s is up at %s, with no route out; the platform starts", l.Name(), host.Name(), host.Addr()); err != nil {
		return err
	}
	status, err := followReady(ctx, host, say)
	if err != nil {
		return Advise(err, fmt.Sprintf("look at `appliance lab logs %s/%s`", l.Name(), host.Name()))
	}
	if err := say("the platform is ready; deploying the sample application"); err != nil {
		return err
	}
	var report bytes.Buffer
	deploy := lab.Command{Args: []string{"sh", "-c", "appliance addon render sample | appliance kubectl apply -f -"}, Stdout: &report, Stderr: &report}
	if err := host.Exec(ctx, deploy); err != nil {
		return fmt.Errorf("deploy the sample application: %w: %s", err, report.String())
	}
	domain := "hello." + status.Node.Domain
	answer, err := askSample(ctx, l, net.JoinHostPort(host.Addr().String(), strconv.Itoa(status.Node.HTTPPort)), domain)
	if err != nil {
		return err
	}
	if err := say("the sample application answers on http://%s/ (%s port %d)", domain, host.Addr(), status.Node.HTTPPort); err != nil {
		return err
	}
	return c.printDemo(l.Name()+"/"+host.Name(), domain, answer)
}

// followReady prints each component as it becomes ready, and returns the status once all are.
func followReady(ctx context.Context, host *lab.Host, say func(string, ...any) error) (api.Status, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoReadyTimeout, fmt.Errorf("the platform is not ready after %s", demoReadyTimeout))
	defer cancel()
	client := api.NewClient(host.Path(layout.Default().APISocket()))
	tick := time.NewTicker(demoPollInterval)
	defer tick.Stop()
	seen := map[string]component.State{}
	for {
		status, err := client.Status(ctx)
		for _, s := range status.Components {
			if seen[s.Name] != s.State && s.State == component.Ready {
				if err := say("  %s is ready", s.Name); err != nil {
					return status, err
				}
			}
			seen[s.Name] = s.State
		}
		if err == nil && status.Ready && !status.Standby { // every server of a lab gets a vote
			return status, nil
		}
		select {
		case <-ctx.Done():
			return status, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// askSample asks the sample application through the gateway until it answers.
func askSample(ctx context.Context, l *lab.Lab, address, domain string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, demoAnswerTimeout, fmt.Errorf("the sample application does not answer after %s", demoAnswerTimeout))
	defer cancel()
	client := l.HTTPClientTo(address)
	tick := time.NewTicker(demoPollInterval)
	defer tick.Stop()
	for {
		answer, err := getOnce(ctx, client, "http://"+domain+"/?format=json")
		if err == nil {
			return answer, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("%w; the last try: %w", context.Cause(ctx), err)
		case <-tick.C:
		}
	}
}

func getOnce(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err == nil && resp.StatusCode != http.StatusOK {
		err = errors.New(resp.Status)
	}
	return string(body), err
}

func (c *labCommands) printDemo(host, domain, answer string) error {
	_, err := fmt.Fprintf(c.env.Stdio.Out, `
%[4]s

Look around:
  %[1]s lab exec %[2]s -- appliance status        the node on one screen
  %[1]s lab exec %[2]s -- appliance kubectl get pods -A
  %[1]s lab exec %[2]s                            a shell in the host
  %[1]s lab forward %[2]s:80                      the host's port 80 on this machine's loopback, then:
      curl -H 'Host: %[3]s' http://127.0.0.1:8080/
  %[1]s lab kill %[2]s                            a power cut; "lab start" boots it again
  %[1]s lab down                                        away with it
`, c.env.Program, host, domain, answer)
	return err
}
