package e2e

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/component"
)

// TestResilience takes one thing after the other away from a running platform. It must come back by itself, and what had no
// part in it must not notice.
func TestResilience(t *testing.T) {
	p := boot(t, "rough")
	step(t, p, "cold start", coldStart)
	step(t, p, "component killed", componentsKilled)
	step(t, p, "daemon killed", daemonKilled)
	step(t, p, "shim killed", shimKilled)
	step(t, p, "container killed", containerKilled)
	step(t, p, "damaged database", damagedDatabase)
	step(t, p, "database damaged in use", damagedInUse)
}

// componentsKilled kills each process that the daemon runs.
func componentsKilled(t *testing.T, p *platform) {
	await(t, readyLimit, "pods are ready", func(ctx context.Context) error { return p.podsReady(ctx, lasting...) })
	unchanged, probe := p.watchRuns(t), p.probe(t)
	defer probe()
	s, err := p.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	killed := 0
	for _, c := range s.Components {
		if c.PID != 0 {
			killed++
			t.Run(c.Name, func(t *testing.T) {
				defer p.diagnose(t)
				p.killComponent(t, c)
				unchanged()
			})
		}
	}
	if killed < 8 {
		t.Errorf("only %d of %d components have a process", killed, len(s.Components))
	}
	probe().none(t)
}

func (p *platform) killComponent(t *testing.T, before component.Status) {
	begun := time.Now()
	p.run(t, "sh", "-c", "kill -9 "+strconv.Itoa(before.PID))
	await(t, readyLimit, before.Name+" runs again", func(ctx context.Context) error {
		now, err := p.component(ctx, before.Name)
		if err == nil && (now.State != component.Ready || now.PID == before.PID || now.PID == 0 || now.Restarts <= before.Restarts) {
			err = fmt.Errorf("it is %s (%s), process %d, %d restarts", now.State, now.Reason, now.PID, now.Restarts)
		}
		return err
	})
	t.Logf("%s is ready again after %s", before.Name, time.Since(begun).Round(time.Millisecond))
	await(t, readyLimit, "every component is ready", p.ready)
	await(t, readyLimit, "node is ready", p.nodeReady)
	await(t, readyLimit, "pods are ready", func(ctx context.Context) error { return p.podsReady(ctx, lasting...) })
	t.Logf("everything is ready again after %s", time.Since(begun).Round(time.Millisecond))
	p.told(t, before.Name, begun)
}

// told complains unless the events say that the component was killed, and logs what else happened since.
func (p *platform) told(t *testing.T, name string, since time.Time) {
	t.Helper()
	events, err := p.daemon().Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, e := range events {
		switch {
		case e.At.Before(since):
		case e.Component != name:
			t.Logf("%5.2fs %s %s %s", e.At.Sub(since).Seconds(), e.Component, e.State, e.Reason)
		case e.State == component.Backoff && strings.Contains(e.Reason, "killed"):
			told = true
		}
	}
	if !told {
		t.Errorf("no event tells that %s was killed", name)
	}
}

// daemonKilled kills the daemon alone: its engines go with it, pods go on, and the next daemon takes over.
func daemonKilled(t *testing.T, p *platform) {
	unchanged, probe := p.watchRuns(t), p.probe(t)
	defer probe()
	before, err := p.host.BootPID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := p.host.SignalBoot(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "another daemon runs", func(ctx context.Context) error {
		now, err := p.host.BootPID(ctx)
		if err == nil && now == before {
			err = errors.New("it is the same process")
		}
		return err
	})
	await(t, readyLimit, "every component is ready", p.ready)
	t.Logf("ready again after %s, of which 1 s before the start", time.Since(begun).Round(time.Millisecond))
	p.settle(t)
	unchanged()
	probe().none(t)
}

// shimKilled kills the shim of a pod, which takes its containers along; the pod must come back.
func shimKilled(t *testing.T, p *platform) {
	pod := p.samplePod(t)
	id := containerID(pod)
	shim, err := parentOf(p.processOf(t, id))
	if err != nil {
		t.Fatal(err)
	}
	if name := commandLine(shim); !strings.Contains(name, "containerd-shim-runc-v2") {
		t.Fatalf("the parent of a container's process is %q", name)
	}
	if err := syscall.Kill(shim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	took := await(t, readyLimit, "the pod runs again", func(ctx context.Context) error {
		now, err := p.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err == nil && (!isReady(now) || containerID(now) == id) {
			err = fmt.Errorf("ready %v, container %s", isReady(now), containerID(now))
		}
		return err
	})
	t.Logf("%s runs again after %s", pod.Name, took.Round(time.Millisecond))
	p.settle(t)
}

// containerKilled kills the process of the DNS server's container.
func containerKilled(t *testing.T, p *platform) {
	pods, err := p.kube.CoreV1().Pods("kube-system").List(t.Context(), metav1.ListOptions{LabelSelector: "k8s-app=kube-dns"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods of the DNS server, %v", len(pods.Items), err)
	}
	pod := pods.Items[0]
	if err := syscall.Kill(p.processOf(t, containerID(&pod)), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	client := p.samplePod(t)
	took := await(t, readyLimit, "names are found again", func(ctx context.Context) error {
		now, err := p.kube.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		if now.Status.ContainerStatuses[0].RestartCount != pod.Status.ContainerStatuses[0].RestartCount+1 {
			return errors.New("the container was not restarted yet")
		}
		_, err = p.hello(ctx, client, "lookup", "hello.demo.svc.cluster.local")
		return err
	})
	t.Logf("names are found again after %s", took.Round(time.Millisecond))
}
