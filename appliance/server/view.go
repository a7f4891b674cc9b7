package server

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/kube/client"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/plan"
	"islet/appliance/tail"
)

// measure takes a sample of the machine every metric.Interval until ctx is cancelled.
func (n *node) measure(ctx context.Context) {
	meter := metric.NewMeter(n.layout.StateDir)
	tick := time.NewTicker(metric.Interval)
	defer tick.Stop()
	for {
		sample, err := meter.Read(time.Now())
		if err != nil {
			n.Log.Warn("the machine's load is not readable", "error", err)
		} else {
			n.metrics.Add(sample)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// History implements api.Daemon.
func (n *node) History() metric.History { return n.metrics.Snapshot() }

// serveView serves what everybody may see until ctx is cancelled. The node does its work without it, too.
func (n *node) serveView(ctx context.Context) {
	err := os.MkdirAll(n.layout.View(), 0o755)
	if err == nil {
		err = os.Chmod(n.layout.View(), 0o755)
	}
	if err == nil {
		err = api.ServeView(ctx, n.layout.ViewSocket(), n, n.Log)
	}
	if err != nil {
		n.Log.Error("the console's screen has nothing to show: its socket is not served", "error", err)
	}
	_ = os.Remove(n.layout.View())
}

// ReadLog implements api.Daemon. Only programs of their own have logs of their own.
func (n *node) ReadLog(name string, lines int, mark string) (tail.Part, error) {
	known := slices.ContainsFunc(n.supervisor.Snapshot(), func(c component.Status) bool { return c.Name == name })
	if !known {
		return tail.Part{}, fmt.Errorf("%w: %q", component.ErrUnknown, name)
	}
	path := filepath.Join(n.layout.Logs(), name+".log")
	read := func() (tail.Part, error) { return tail.Last(path, lines) }
	if mark != "" {
		read = func() (tail.Part, error) { return tail.After(path, mark) }
	}
	part, err := read()
	if errors.Is(err, fs.ErrNotExist) {
		err = api.ErrNoLog
	}
	return part, err
}

// Plans implements api.Daemon. A journal that cannot be read hides no other.
func (n *node) Plans() ([]plan.Journal, error) {
	plans, err := plan.List(n.layout)
	if err != nil && len(plans) > 0 {
		n.Log.Warn("the journal of a plan is not readable", "error", err)
		err = nil
	}
	return plans, err
}

// podsTime is how long Kubernetes may take to list its pods, or what the platform has.
const podsTime = 4 * time.Second

// Pods implements api.Daemon. An agent may only know of its own.
func (n *node) Pods(ctx context.Context) ([]api.Pod, error) {
	ctx, cancel := context.WithTimeout(ctx, podsTime)
	defer cancel()
	var options []client.ListOption
	if n.isAgent() {
		options = append(options, client.MatchingFields(map[string]string{"spec.nodeName": n.derived.NodeName}))
	}
	var list corev1.PodList
	if err := n.pods.List(ctx, &list, options...); err != nil {
		return nil, fmt.Errorf("ask Kubernetes for its pods: %w", err)
	}
	pods := make([]api.Pod, 0, len(list.Items))
	for i := range list.Items {
		pods = append(pods, podOf(&list.Items[i]))
	}
	return pods, nil
}

// Platform implements api.Daemon. The daemon asks in its own name: what is only looked at fills no audit log.
func (n *node) Platform(ctx context.Context) (survey.Survey, error) {
	if n.isAgent() {
		return survey.Survey{}, errors.New("this node is an agent: it may not know of tenants; look on a server")
	}
	ctx, cancel := context.WithTimeout(ctx, podsTime)
	defer cancel()
	return survey.Read(ctx, n.pods)
}

// podOf puts a pod into one line, with the reason of the first container that is stuck, as kubectl does.
func podOf(p *corev1.Pod) api.Pod {
	out := api.Pod{
		Namespace: p.Namespace, Name: p.Name, Node: p.Spec.NodeName, State: string(p.Status.Phase), Total: len(p.Spec.Containers),
		Created: p.CreationTimestamp.UTC(), Detail: p.Status.Message,
	}
	if p.Status.Reason != "" {
		out.State = p.Status.Reason
	}
	for _, s := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		out.Restarts += int(s.RestartCount)
		switch {
		case s.State.Waiting != nil && s.State.Waiting.Reason != "" && s.State.Waiting.Reason != "PodInitializing":
			out.State, out.Detail = s.State.Waiting.Reason, s.State.Waiting.Message
		case s.State.Terminated != nil && s.State.Terminated.ExitCode != 0:
			out.State, out.Detail = s.State.Terminated.Reason, s.State.Terminated.Message
		}
	}
	for _, s := range p.Status.ContainerStatuses {
		if s.Ready {
			out.Ready++
		}
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			out.Detail = c.Message
		}
	}
	if p.DeletionTimestamp != nil {
		out.State = "Terminating"
	}
	return out
}
