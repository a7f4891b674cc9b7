package cli

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/kubelet"
)

// machine is a node as Kubernetes shows it.
func machine(name string, role config.Role, ready corev1.ConditionStatus) corev1.Node {
	since := metav1.NewTime(time.Date(2026, 6, 1, 12, 0, 0, 0, time.Local))
	return corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, CreationTimestamp: since, Labels: map[string]string{kubelet.RoleLabel: string(role), kubelet.PoolLabel: "presses"}},
		Spec:       corev1.NodeSpec{Taints: []corev1.Taint{{Key: "a", Value: "b", Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{
			Addresses:   []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.11"}, {Type: corev1.NodeHostName, Address: name}},
			Conditions:  []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready, Message: "the disk is full", LastTransitionTime: since}},
			Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("4"), corev1.ResourceMemory: resource.MustParse("8Gi")},
			NodeInfo:    corev1.NodeSystemInfo{KubeletVersion: "v1.36.3", OSImage: "Debian", KernelVersion: "6.1"},
		},
	}
}

func TestSiteNodes(t *testing.T) {
	t.Parallel()
	cordoned := machine("press4", config.RoleAgent, corev1.ConditionTrue)
	cordoned.Spec.Unschedulable = true
	joined := time.Date(2026, 5, 1, 8, 0, 0, 0, time.Local)
	nodes := siteNodes([]corev1.Node{
		machine("press3", config.RoleAgent, corev1.ConditionUnknown), machine("press2", config.RoleAgent, corev1.ConditionFalse), cordoned,
		machine("press9", config.RoleServer, corev1.ConditionTrue),
	}, []join.Member{
		{Name: "press2", Token: "h3x0c9ja", Admitted: joined},
		{Name: "press1", Role: config.RoleAgent, Address: netip.MustParseAddr("192.0.2.14"), Admitted: joined},
	})
	key := join.KeyOf([]byte("key"))
	nodes = append(nodes, waitingNodes([]join.Request{
		{Name: "press3", Role: config.RoleAgent, Key: key, Replaces: true, Asked: joined},
		{Name: "press5", Role: config.RoleAgent, Key: key, Refused: new(joined), Asked: joined},
	})...)
	var out bytes.Buffer
	if err := printNodes(&out, nodes); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"NAME ROLE POOL ADDRESS STATE KUBERNETES JOINED",
		"press9 server presses 192.0.2.11 ready v1.36.3 2026-06-01 12:00:00",
		"press1 agent 192.0.2.14 joining 2026-05-01 08:00:00",
		"press2 agent presses 192.0.2.11 not-ready v1.36.3 2026-05-01 08:00:00 the disk is full",
		"press3 agent presses 192.0.2.11 unreachable v1.36.3 2026-06-01 12:00:00 since 2026-06-01 12:00:00",
		"press4 agent presses 192.0.2.11 ready, takes no pods v1.36.3 2026-06-01 12:00:00",
		"press3 agent unknown waiting 2026-05-01 08:00:00 for approval: " + key.Words() + "; takes the place of the node of that name",
		"press5 agent unknown refused 2026-05-01 08:00:00",
	}
	if got := fields(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for i, n := range nodes {
		if (n.Token != "") != (n.Name == "press2") {
			t.Errorf("node %d: token %q", i, n.Token)
		}
	}
}

// fields are the lines of a table with single blanks.
func fields(table string) []string {
	var lines []string
	for line := range strings.Lines(table) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return lines
}

func TestDescribeNode(t *testing.T) {
	t.Parallel()
	asks := func(name string, phase corev1.PodPhase) corev1.Pod {
		return corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "demo", Name: name}, Status: corev1.PodStatus{Phase: phase},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m"), corev1.ResourceMemory: resource.MustParse("1Gi")},
			}}}},
		}
	}
	node := machine("press2", config.RoleAgent, corev1.ConditionFalse)
	detail := describe(siteNodes([]corev1.Node{node}, nil)[0], node, []corev1.Pod{asks("a", corev1.PodRunning), asks("b", corev1.PodRunning), asks("c", corev1.PodSucceeded)})
	var out bytes.Buffer
	if err := printNode(&out, detail); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Node press2", "Role agent", "Pool presses", "Address 192.0.2.11", "State not-ready: the disk is full", "Joined 2026-06-01 12:00:00", "Kubernetes v1.36.3",
		"System Debian, kernel 6.1", "CPU 500m of 4 requested", "Memory 2.00 GiB of 8.00 GiB requested", "Taints a=b:NoSchedule",
		"Trouble Ready is False since 2026-06-01 12:00:00: the disk is full", "Label node.islet.dev/pool=presses", "Label node.islet.dev/role=agent", "",
		"NAMESPACE POD PHASE", "demo a Running", "demo b Running", "demo c Succeeded",
	}
	if got := fields(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestPrintTokens(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.Local)
	var out bytes.Buffer
	err := printTokens(&out, []join.Record{
		{ID: "h3x0c9ja", Role: config.RoleAgent, MaxUses: 3, Expires: now.Add(time.Hour), Uses: []join.Use{{Node: "press2"}, {Node: "press3"}}, Note: "hall 3"},
		{ID: "aaaaaaaa", Role: config.RoleAgent, MaxUses: 1, Expires: now.Add(-time.Hour)},
		{ID: "bbbbbbbb", Role: config.RoleAgent, MaxUses: 1, Expires: now.Add(time.Hour), Revoked: new(now)},
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"ID ROLE USED STATE LET IN NOTE", "h3x0c9ja agent 2 of 3 good until 2026-06-01 13:00:00 press2 press3 hall 3",
		"aaaaaaaa agent 0 of 1 has expired at 2026-06-01 11:00:00", "bbbbbbbb agent 0 of 1 was revoked at 2026-06-01 12:00:00",
	}
	if got := fields(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestExplainJoin(t *testing.T) {
	t.Parallel()
	none := fmt.Errorf("%w: 192.0.2.11: timeout", join.ErrNoServer)
	for says, err := range map[string]error{
		"check the cable":  none,
		"do not go on":     errors.Join(none, fmt.Errorf("192.0.2.12: %w", join.ErrImpostor)),
		"another with --n": fmt.Errorf("%w: press2", join.ErrNameTaken),
	} {
		var out bytes.Buffer
		printError(&out, explainJoin(err))
		if strings.Count(out.String(), "next: ") != 1 || !strings.Contains(out.String(), says) {
			t.Errorf("want one advice with %q, got\n%s", says, out.String())
		}
	}
}

func TestJoinCommandLine(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want Code
		says string
	}{
		"a token that is none":     {[]string{"join", "--token", "hello"}, CodeToken, "this is not a join token"},
		"without a token":          {[]string{"join"}, CodeUsage, "appliance token create"},
		"an id that is none":       {[]string{"token", "revoke", "x"}, CodeUsage, "eight characters"},
		"a life that is too short": {[]string{"token", "create", "--ttl", "1s"}, CodeUsage, "--ttl 1s: want 1m to"},
		"no uses":                  {[]string{"token", "create", "--uses", "0"}, CodeUsage, "--uses 0"},
		"a role that is none":      {[]string{"token", "create", "--role", "boss"}, CodeUsage, "--role boss: want agent or server"},
	} {
		var out, errs bytes.Buffer
		code := Main(t.Context(), c.args, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs})
		if code != int(c.want) || !strings.Contains(errs.String(), c.says) || out.Len() > 0 {
			t.Errorf("%s: code %d, want %d\n%s%s", name, code, c.want, out.String(), errs.String())
		}
	}
}
