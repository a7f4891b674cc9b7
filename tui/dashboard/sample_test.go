package dashboard

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"islet/appliance/api"
	"islet/appliance/balancer"
	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/install"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/pki"
	"islet/appliance/plan"
	"islet/appliance/tail"
	"islet/appliance/vip"
	"islet/tui/screen"
	"islet/tui/tuitest"
)

// site is a Source with three servers and an agent, whose state a test changes.
type site struct {
	reports  []api.Report
	events   []component.Event
	history  metric.History
	pods     []api.Pod
	plans    []plan.Journal
	platform survey.Survey
	down     error // the daemon
	far      error // other nodes
	kube     error // Kubernetes
	asked    int
}

func (s *site) Site(context.Context) ([]api.Report, error) {
	s.asked++
	return s.reports, s.down
}
func (s *site) Events(context.Context) ([]component.Event, error) { return s.events, s.down }
func (s *site) History(context.Context) (metric.History, error)   { return s.history, s.down }
func (s *site) Pods(context.Context) ([]api.Pod, error) {
	return slices.Clone(s.pods), errors.Join(s.down, s.kube)
}
func (s *site) Platform(context.Context) (survey.Survey, error) { return s.platform, s.kube }
func (s *site) At(node string) Machine                          { return other{s, node} }
func (s *site) Plans(context.Context) ([]plan.Journal, error)   { return s.plans, nil } // on the disk, whatever the daemon does
func (s *site) Log(_ context.Context, name string, lines int, mark string) (tail.Part, error) {
	if mark != "" || s.down != nil {
		return tail.Part{Mark: mark}, s.down
	}
	p := tail.Part{Mark: "1:2"}
	for i := range 40 {
		level := "I"
		if i%9 == 4 {
			level = "E"
		}
		p.Lines = append(p.Lines, fmt.Sprintf("%s0517 09:%02d:11.204512    1234 %s.go:%d] \"what it did\" pod=\"demo/web-%d\" attempt=%d", level, i, name, 100+i, i, i))
	}
	return p, nil
}

// other is a node that is asked by way of the own one.
type other struct {
	*site
	name string
}

func (o other) Events(ctx context.Context) ([]component.Event, error) {
	events, err := o.site.Events(ctx)
	return events, errors.Join(err, o.far)
}

func (o other) History(ctx context.Context) (metric.History, error) {
	h, err := o.site.History(ctx)
	return h, errors.Join(err, o.far)
}

func (o other) Log(ctx context.Context, name string, lines int, mark string) (tail.Part, error) {
	p, err := o.site.Log(ctx, o.name+"-"+name, lines, mark)
	return p, errors.Join(err, o.far)
}

var ago = func(d time.Duration) time.Time { return tuitest.Now.Add(-d) }

// parts are the components of a server.
func parts(names ...string) []component.Status {
	var all []component.Status
	for i, n := range names {
		c := component.Status{Name: n, State: component.Ready, Since: ago(50*time.Hour - time.Duration(i)*time.Second), PID: 1200 + 17*i}
		if i > 0 {
			c.Needs = names[max(0, i-2):i]
		}
		all = append(all, c)
	}
	return all
}

func certificates() []pki.Entry {
	var all []pki.Entry
	for i, name := range []string{"cluster-ca", "etcd-ca", "node-ca"} {
		all = append(all, pki.Entry{Name: name, Subject: name, Issuer: name, NotAfter: tuitest.Now.AddDate(10, 0, i), DaysLeft: 3652 + i, CA: true})
	}
	for i, name := range []string{"kube-apiserver", "kubelet", "etcd-server", "admin", "node"} {
		all = append(all, pki.Entry{Name: name, Subject: "CN=" + name, Issuer: "cluster-ca", NotAfter: tuitest.Now.AddDate(0, 0, 340+i), DaysLeft: 340 + i, UsedBy: name})
	}
	return all
}

func report(i int, name, role string) api.Report {
	names := []string{"etcd", "etcd-member", "api-balancer", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "registry", "containerd", "images", "kubelet", "network-agent", "kube-proxy", "addons", "node", "certificates", "backups", "membership"}
	if role == "agent" {
		names = []string{"api-balancer", "containerd", "images", "kubelet", "network-agent", "kube-proxy", "node", "membership", "backups"}
	}
	s := api.Status{
		Version: "0.1.0", Site: "harbour", Zone: "terminal-2", StartedAt: ago(50 * time.Hour), Now: ago(time.Duration(i) * 2 * time.Second), Ready: true,
		Node:       api.Node{Name: name, Address: fmt.Sprintf("10.20.0.%d", 11+i), Interface: "enp3s0", Role: role, PodCIDR: fmt.Sprintf("10.42.%d.0/24", i), Backend: "host-gw", MTU: 1500, Domain: "apps.harbour.example", Cgroup: "v2", HTTPSPort: 443},
		Components: parts(names...), Certificates: certificates(),
		Bundle:   api.Bundle{Digest: "sha256:6f2c1d"},
		Usage:    &metric.Sample{At: ago(4 * time.Second), CPU: 0.12 + 0.2*float64(i), Load: 0.4 + float64(i), Processors: 4, MemoryUsed: (3 + int64(i)) << 30, MemoryTotal: 16 << 30, DiskUsed: 41 << 30, DiskTotal: 220 << 30},
		Problems: []health.Active{},
	}
	backup := api.Backup{Of: "press1", Path: "/var/lib/appliance/backups/site/press1-20260517T060000Z.backup", Created: ago(210 * time.Minute), Bytes: 6_400_000, Verified: true}
	s.Backups = []api.Backup{backup}
	if role == "server" {
		s.Datastore = &api.Datastore{Store: "etcd", Bytes: 38 << 20, Snapshots: 12, NewestSnapshot: ago(25 * time.Minute)}
		for k := range 3 {
			s.Servers = append(s.Servers, balancer.Server{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 20, 0, byte(11 + k)}), 6443), Healthy: true, Since: ago(50 * time.Hour), Connections: 7 - k})
		}
		s.VIPs = []vip.Status{
			{Purpose: vip.API, Address: netip.MustParseAddr("10.20.0.5"), State: vip.Standby, Holder: "press2", Looked: ago(time.Second)},
			{Purpose: vip.Applications, Address: netip.MustParseAddr("10.20.0.6"), State: vip.Held, Holder: "press1", Looked: ago(time.Second)},
		}
	}
	return api.Report{Received: ago(time.Duration(i) * 2 * time.Second), Status: s}
}

// healthy is a site in which nothing is wrong.
func healthy() *site {
	s := &site{plans: journals(), platform: pressed()}
	for i, n := range []string{"press1", "press2", "press3"} {
		s.reports = append(s.reports, report(i, n, "server"))
	}
	s.reports = append(s.reports, report(3, "cutter", "agent"))
	for i, c := range s.reports[0].Status.Components {
		at := ago(50*time.Hour - time.Duration(i)*700*time.Millisecond)
		s.events = append(s.events, component.Event{At: at.Add(-3 * time.Second), Component: c.Name, State: component.Starting},
			component.Event{At: at, Component: c.Name, State: component.Ready})
	}
	for i := range 360 {
		s.history.Recent = append(s.history.Recent, sample(ago(time.Hour-time.Duration(i+1)*metric.Interval), i))
	}
	for i := range 200 { // the daemon started 17 hours ago
		s.history.Day = append(s.history.Day, sample(ago(time.Duration(200-i)*metric.DayInterval), i))
	}
	for i, n := range []string{"islet-system/coredns-5d8f", "islet-system/gateway-7c9b", "shop/web-6b7d9c-x2x1q", "shop/web-6b7d9c-p0wl4", "shop/stock-0", "test/runner-1"} {
		namespace, name, _ := strings.Cut(n, "/")
		s.pods = append(s.pods, api.Pod{Namespace: namespace, Name: name, Node: "press" + fmt.Sprint(1+i%3), State: "Running", Ready: 1, Total: 1, Created: ago(time.Duration(40+i) * time.Hour)})
	}
	return s
}

func sample(at time.Time, i int) metric.Sample {
	return metric.Sample{At: at, CPU: 0.35 + 0.3*math.Sin(float64(i)/25), Load: 1.2, Processors: 4, MemoryUsed: int64(5+i/90) << 30, MemoryTotal: 16 << 30, DiskUsed: 41 << 30, DiskTotal: 220 << 30}
}

func declared(code health.Code) health.Problem {
	all := health.Catalogue()
	return all[slices.IndexFunc(all, func(p health.Problem) bool { return p.Code == code })]
}

// troubled is the same site on a bad day: the API server keeps stopping, a server is gone, a clock is off.
func troubled() *site {
	s := healthy()
	own := &s.reports[0].Status
	own.Ready = false
	own.Problems = []health.Active{
		{Problem: declared(health.ComponentCrashing), Subject: "kube-apiserver", Since: ago(4 * time.Minute), Detail: "backoff: exited with code 1: bind: address already in use"},
		{Problem: declared(health.NodeNotReady), Subject: "node", Since: ago(3 * time.Minute), HiddenBy: health.ComponentCrashing},
		{Problem: declared(health.BackupOverdue), Subject: "press1", Since: ago(26 * time.Hour), Detail: "the newest is of yesterday"},
	}
	i := slices.IndexFunc(own.Components, func(c component.Status) bool { return c.Name == "kube-apiserver" })
	own.Components[i].State, own.Components[i].Reason, own.Components[i].Since = component.Backoff, "exited with code 1: bind: address already in use", ago(20*time.Second)
	own.Components[i].Restarts, own.Components[i].Failures, own.Components[i].PID = 14, 14, 0
	own.VIPs[0].Holder = ""
	own.Servers[2].Healthy, own.Servers[2].Reason = false, "connect: no route to host"
	s.reports[2].Received, s.reports[2].Status.Now = ago(7*time.Minute), ago(7*time.Minute)
	s.reports[3].Status.Now = ago(-95 * time.Second)
	s.reports[3].Status.Usage.DiskUsed = 214 << 30
	for k := range 6 {
		s.events = append(s.events, component.Event{At: ago(time.Duration(6-k) * 40 * time.Second), Component: "kube-apiserver", State: component.Starting},
			component.Event{At: ago(time.Duration(6-k)*40*time.Second - 2*time.Second), Component: "kube-apiserver", State: component.Backoff, Reason: "exited with code 1: bind: address already in use"})
	}
	s.pods[3].State, s.pods[3].Ready, s.pods[3].Restarts, s.pods[3].Detail = "CrashLoopBackOff", 0, 23, "back-off 5m0s restarting failed container"
	return s
}

// journals are those of an installation that was interrupted, went on, and failed.
func journals() []plan.Journal {
	step := func(kind install.Kind, object, detail string, state plan.State, begun, took time.Duration) plan.Step {
		s := plan.Step{Kind: kind, Object: object, Detail: detail, State: state}
		if took > 0 {
			s.Begun, s.Ended = ago(begun), ago(begun-took)
		}
		return s
	}
	first := []plan.Step{
		step(install.KindJournal, "/var/lib/appliance/journal", "record what is on this machine, for `appliance reset`", plan.Done, 40*time.Minute, time.Second),
		step(install.KindExecutable, "/usr/local/bin/appliance", "copy this program, with everything in it", plan.Interrupted, 40*time.Minute, 0),
		step(install.KindConfig, "/etc/appliance/config.yaml", "write the answer file", plan.Pending, 0, 0),
	}
	second := []plan.Step{
		step(install.KindJournal, "/var/lib/appliance/journal", "record what is on this machine, for `appliance reset`", plan.Unchanged, 0, 0),
		step(install.KindExecutable, "/usr/local/bin/appliance", "copy this program, with everything in it", plan.Done, 12*time.Minute, 9*time.Second),
		step(install.KindConfig, "/etc/appliance/config.yaml", "write the answer file", plan.Failed, 11*time.Minute, time.Second),
	}
	second[2].Error = "no space left on device"
	return []plan.Journal{
		{ID: "20260517T091800.000Z-install", Kind: plan.Install, State: plan.Failed, Version: "0.1.0", Begun: ago(12 * time.Minute), Ended: ago(11 * time.Minute), Steps: second,
			Error: "install config /etc/appliance/config.yaml: no space left on device", Advice: []string{"correct that and run `appliance install` again: it goes on where it stopped"}, Resume: []string{"install"}},
		{ID: "20260517T085000.000Z-install", Kind: plan.Install, State: plan.Interrupted, Version: "0.1.0", Begun: ago(40 * time.Minute), Steps: first},
	}
}

// run answers the commands of the pages.
func run(args []string) screen.Result {
	switch strings.Join(args[:2], " ") {
	case "node list":
		return screen.Result{Output: `[
  {"name": "press1", "role": "server", "address": "10.20.0.11", "state": "ready", "joined": "2026-03-01T08:00:00Z"},
  {"name": "press2", "role": "server", "address": "10.20.0.12", "state": "ready", "joined": "2026-03-01T08:20:00Z"},
  {"name": "cutter", "role": "agent", "address": "10.20.0.14", "state": "joining", "joined": "2026-05-17T09:29:10Z", "token": "h3x0c9ja"},
  {"name": "press4", "role": "agent", "address": "10.20.0.15", "state": "waiting", "joined": "2026-05-17T09:28:30Z", "token": "h3x0c9ja", "words": "anchor velvet ripple orbit canyon maple", "detail": "for approval: anchor velvet ripple orbit canyon maple"}
]`}
	case "token create":
		out, _ := json.Marshal(map[string]any{"token": sampleToken, "id": "h3x0c9ja", "expires": tuitest.Now.Add(24 * time.Hour)})
		return screen.Result{Output: string(out)}
	}
	return screen.Result{Output: "Name:         web-6b7d9c-x2x1q\nNamespace:    shop\nNode:         press3/10.20.0.13\nStatus:       Running\nContainers:\n  web:\n    Image:    registry.harbour/shop/web:v3\n    Ready:    True\nEvents:       <none>\n"}
}

const sampleToken = "aebagbak-cqaaygzz-h3x0c9ja-7dk2mq4v-x0r8s6t5-n3b1c9fa-gk7e2w4y-p5z8v0qh-j6m3d1xs-r9t4u2nb-c8f7"

// opened is a dashboard that has asked once, with tab in front and keys pressed. Pages that the keys open are returned.
func opened(t *testing.T, ctx *screen.Context, source *site, at int, keys ...string) screen.Page {
	t.Helper()
	ctx.Run = run
	d := New(ctx, source)
	d.board.later = never
	d.SetSize(100, 27)
	settle(d, d.Start())
	settle(d, d.jump(at))
	var page screen.Page = d
	for _, k := range keys {
		page = press(page, k)
	}
	return page
}

// never is a tick that does not come.
func never(time.Duration, func(time.Time) tea.Msg) tea.Cmd { return nil }

// settle carries out commands until nothing is left.
func settle(p screen.Page, cmd tea.Cmd) {
	for _, msg := range tuitest.Run(cmd) {
		settle(p, p.Update(msg))
	}
}

// press types a key, and returns the page that is in front then: the same one, or what it opened.
func press(p screen.Page, k string) screen.Page {
	for _, msg := range tuitest.Run(p.Update(tuitest.Key(k))) {
		if next := screen.Pushed(msg); next != nil {
			next.SetSize(100, 27)
			if s, ok := next.(screen.Starter); ok {
				settle(next, s.Start())
			}
			p = next
			continue
		}
		settle(p, p.Update(msg))
	}
	return p
}
