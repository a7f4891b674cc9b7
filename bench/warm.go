package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/layout"
)

// warmStarts compares the daemon's start with the floor: the same children, with the same arguments
// and datastore, all started at once by a shell. Both end when the API says the node is Ready and
// the kubelet has renewed the node's lease since the start.
func (b *bench) warmStarts(ctx context.Context) error {
	children, err := b.commandLines()
	if err != nil {
		return err
	}
	api, err := b.apiClient()
	if err != nil {
		return err
	}
	if err := b.host.StopBoot(ctx); err != nil {
		return err
	}
	var warm, floor []float64
	for i := range b.runs {
		b.say("warm start %d of %d", i+1, b.runs)
		seconds, err := b.timeStart(ctx, api, b.host.StartBoot)
		if err != nil {
			return err
		}
		warm = append(warm, seconds)
		if i == 0 {
			if err := b.nothingWritten(ctx); err != nil {
				return err
			}
		}
		if err := b.host.StopBoot(ctx); err != nil {
			return err
		}
		if seconds, err = b.timeFloor(ctx, api, children); err != nil {
			return err
		}
		floor = append(floor, seconds)
	}
	base := median(floor)
	b.table.add(row{what: "warm start to node Ready, median", unit: "s", value: median(warm), target: 1.5 * base, baseline: base, baselineMeaning: "by hand"})
	return nil
}

func (b *bench) nothingWritten(ctx context.Context) error {
	if err := poll(ctx, time.Minute, "readiness", b.allReady); err != nil {
		return err
	}
	status, err := b.client.Status(ctx)
	if err != nil {
		return err
	}
	b.table.add(row{what: "staged by a restart with nothing changed (target 0)", unit: "bytes", value: float64(status.Engines.Bytes)})
	b.table.add(row{what: "imported by a restart with nothing changed (target 0)", unit: "bytes", value: float64(status.Images.Bytes)})
	return nil
}

// commandLines are those of the engines that run now.
func (b *bench) commandLines() ([]string, error) {
	pids, err := b.host.Processes()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil || p.kind != kindHost || p.name == "appliance" {
			continue
		}
		raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			return nil, err
		}
		args := strings.Split(string(bytes.TrimRight(raw, "\x00")), "\x00")
		out = append(out, "'"+strings.Join(args, "' '")+"'")
	}
	if len(out) < 8 {
		return nil, fmt.Errorf("found only %d engines running", len(out))
	}
	return out, nil
}

// apiClient reaches the API as the host's administrator, from inside the lab's network.
func (b *bench) apiClient() (client.Client, error) {
	admin, err := b.host.ReadFile(layout.Default().AdminKubeconfig())
	if err != nil {
		return nil, err
	}
	config, err := clientcmd.RESTConfigFromKubeConfig(admin)
	if err != nil {
		return nil, err
	}
	config.Dial = b.hosts.Dial
	config.Timeout, config.QPS = 2*time.Second, -1 // no limit: what is measured is the server
	return kube.NewClient(config)
}

func (b *bench) timeStart(ctx context.Context, api client.Client, start func(context.Context) error) (float64, error) {
	begun := time.Now()
	if err := start(ctx); err != nil {
		return 0, err
	}
	err := poll(ctx, 2*time.Minute, "node Ready", func(ctx context.Context) error {
		return kube.NodeReadySince(ctx, api, b.host.Name(), begun)
	})
	return time.Since(begun).Seconds(), err
}

// timeFloor starts the engines by hand, and ends them.
func (b *bench) timeFloor(ctx context.Context, api client.Client, children []string) (float64, error) {
	l := layout.Default()
	var script strings.Builder
	script.WriteString("export PATH=" + l.Bin() + ":$PATH HOME=/root; rm -f " + l.ContainerdSocket() + " " + l.KineSocket() + "; cd " + l.StateDir + "; ")
	for _, c := range children {
		if strings.Contains(c, "/kubelet'") { // it gives up at once when containerd does not listen
			c = "{ until [ -S " + l.ContainerdSocket() + " ]; do sleep 0.01; done; exec " + c + "; }"
		}
		script.WriteString(c + " >/dev/null 2>&1 & ")
	}
	seconds, err := b.timeStart(ctx, api, func(ctx context.Context) error {
		_, err := b.host.Output(ctx, "sh", "-c", script.String())
		return err
	})
	return seconds, errors.Join(err, b.killEngines(ctx))
}

// killEngines ends what was started by hand; pods are left alone.
func (b *bench) killEngines(ctx context.Context) error {
	return poll(ctx, 10*time.Second, "the engines to end", func(context.Context) error {
		all, err := processesOf(b.host)
		if err != nil {
			return err
		}
		left := 0
		for _, p := range all {
			if p.kind == kindHost {
				left++
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
		if left > 0 {
			return fmt.Errorf("%d engines still run", left)
		}
		return nil
	})
}
