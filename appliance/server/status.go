package server

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"islet/appliance/api"
	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/host"
	"islet/appliance/kubelet"
	"islet/appliance/network"
)

// Status implements api.Daemon.
func (n *node) Status() api.Status {
	components := n.supervisor.Snapshot()
	certificates, err := n.pki.Inventory(n.allLeaves())
	if err != nil {
		n.Log.Warn("certificates not readable", "error", err)
	}
	images := n.images.Stats()
	s := api.Status{
		Version: n.Build.Version, Site: n.Config.Site.Name, Zone: n.Config.Site.Zone, StartedAt: n.started, Now: time.Now().UTC(),
		Ready: !slices.ContainsFunc(components, n.isMissing), Standby: n.standby.Load(),
		Components: components, Certificates: certificates,
		Node:    n.nodeStatus(),
		Engines: api.Engines{Dir: n.engines.Dir, Files: n.engines.Files, Staged: n.engines.Staged, Bytes: n.engines.Bytes},
		Images:  api.Images{Carried: len(n.images.List), Imported: images.Imported, Bytes: images.Bytes},
		Bundle: api.Bundle{
			Name: n.Bundle.Index().Name, Version: n.Bundle.Index().Version, Digest: n.Bundle.Digest().String(),
			Source: n.Bundle.Source(), Signed: n.Bundle.Signature().KeyName,
		},
		VIPs:        n.vipStatus(),
		Backups:     n.backups.snapshot(),
		Problems:    n.problems.Snapshot(),
		Authorities: n.authorities(), Rotation: n.rotationStatus(),
	}
	if usage, ok := n.metrics.Latest(); ok {
		s.Usage = &usage
	}
	if n.balanced() {
		s.Servers = n.balancer.Snapshot()
	}
	if !n.isAgent() {
		s.Datastore = new(n.datastoreStatus())
	}
	return s
}

// isMissing says whether a component should be ready and is not. On a server whose copy of the datastore has no vote, what
// needs the vote waits, and all else works.
func (n *node) isMissing(c component.Status) bool {
	return c.State != component.Ready && (!n.standby.Load() || !n.supervisor.Needs(c.Name, datastore.EtcdMemberName))
}

func (n *node) nodeStatus() api.Node {
	d := n.derived
	s := api.Node{
		Name: d.NodeName, Address: d.Address.String(), Interface: d.Interface, Role: string(n.Config.Node.Role),
		ServiceCIDR: n.Config.Network.ServiceCIDR.String(), ClusterDNS: d.ClusterDNS.String(), Domain: d.Domain,
		Backend: string(d.Backend), MTU: d.MTU, Cgroup: string(n.facts.Cgroup.Mode),
		OOMRestricted: !n.facts.Capabilities.Has(host.CapSysResource),
		HTTPPort:      n.Config.Gateway.HTTPPort, HTTPSPort: n.Config.Gateway.HTTPSPort,
	}
	if net, err := network.ReadStatus(n.layout); err == nil { // absent until pods can be connected
		s.PodCIDR = net.PodCIDR.String()
	}
	return s
}

func (n *node) datastoreStatus() api.Datastore {
	store := n.datastoreParams()
	d := api.Datastore{Store: string(n.Config.Datastore.Store), Path: store.Path(), Bytes: store.Bytes(), Restored: n.restoration()}
	if n.database != nil {
		d.Path = n.database.Endpoint
		if r, err := datastore.ReadDatabase(n.layout); err == nil { // absent until kine has looked
			d.Database, d.Bytes = &r, r.Bytes
		}
		return d
	}
	if list, err := store.Ring.List(); err == nil && len(list) > 0 {
		d.Snapshots, d.NewestSnapshot = len(list), list[0].Taken
	}
	return d
}

// others are the site's other nodes as they said they were.
func (n *node) others() []api.Report {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.reports))
}

// Site implements api.Daemon.
func (n *node) Site() []api.Report {
	all := n.others()
	slices.SortFunc(all, func(a, b api.Report) int { return cmp.Compare(a.Status.Node.Name, b.Status.Node.Name) })
	return append([]api.Report{{Received: time.Now().UTC(), Status: n.Status()}}, all...)
}

// Events implements api.Daemon.
func (n *node) Events() []component.Event { return n.supervisor.Events() }

// Restart implements api.Daemon.
func (n *node) Restart(name string) error { return n.supervisor.Restart(name) }

// snapshotPatience is how long one that is asked for waits for one by schedule, which takes a moment.
const snapshotPatience = 10 * time.Second

// Snapshot implements api.Daemon.
func (n *node) Snapshot(ctx context.Context) (string, error) {
	for deadline := time.Now().Add(snapshotPatience); ; {
		s, err := n.datastoreParams().Take(ctx)
		if !errors.Is(err, datastore.ErrBusy) || time.Now().After(deadline) {
			return s.Path, err
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// afterRestoration is called when a snapshot took the datastore's place. Whoever read the lost part from the datastore
// or the API keeps showing and acting on it, so all of them start again; when the daemon itself starts, nothing of that
// runs yet.
func (n *node) afterRestoration(datastore.Restoration) {
	watches := []string{kubelet.Name, network.AgentName, network.ProxyName} // by the balancer, whichever API server answers
	for _, c := range n.supervisor.Snapshot() {
		if !c.IsReady() || !n.supervisor.Needs(c.Name, controlplane.APIServerName) && !slices.Contains(watches, c.Name) {
			continue
		}
		if err := n.supervisor.Restart(c.Name); err != nil {
			n.Log.Error("component not restarted after the datastore was restored", "component", c.Name, "error", err)
		}
	}
}

// restoration says in words what became of a damaged datastore; empty when none was found, or somebody has seen to it.
func (n *node) restoration() string {
	r, err := datastore.LastRestoration(n.layout)
	switch {
	case err != nil:
		return "from a snapshot; the report cannot be read: " + err.Error()
	case r == nil:
		return ""
	}
	if r.Snapshot == "" {
		return "from the other servers; this one's is " + r.Kept + ": " + r.Found
	}
	return "from the snapshot of " + r.Taken.Format(time.RFC3339) + "; the damaged file is " + r.Kept
}
