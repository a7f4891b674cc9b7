// Package api is how everything else talks to the node daemon: JSON over HTTP on a unix socket that
// only root can open, and on a second one that everybody may look through. It answers while Kubernetes
// is down.
package api

import (
	"time"

	"islet/appliance/balancer"
	"islet/appliance/component"
	"islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/metric"
	"islet/appliance/pki"
	"islet/appliance/vip"
)

// Status is one node on one screen.
type Status struct {
	Version   string    `json:"version"`
	Site      string    `json:"site"`
	Zone      string    `json:"zone,omitempty"`
	Node      Node      `json:"node"`
	StartedAt time.Time `json:"startedAt"`
	// Now is the node's own clock when it said this.
	Now   time.Time `json:"now,omitzero"`
	Ready bool      `json:"ready"` // every component is ready, the node included
	// Standby is a server with a copy of the datastore but without a vote: it waits for one more server, and all else works.
	Standby      bool               `json:"standby,omitempty"`
	Components   []component.Status `json:"components"`
	Datastore    *Datastore         `json:"datastore,omitempty"` // of a server
	Servers      []balancer.Server  `json:"servers,omitempty"`   // that the node reaches the Kubernetes API at, where it goes through its balancer
	Engines      Engines            `json:"engines"`
	Images       Images             `json:"images"`
	Bundle       Bundle             `json:"bundle"`
	VIPs         []vip.Status       `json:"vips,omitempty"` // of a server
	Certificates []pki.Entry        `json:"certificates"`
	Authorities  []Authority        `json:"authorities,omitempty"`
	Rotation     *Rotation          `json:"rotation,omitempty"` // on servers, the last one that there was
	Backups      []Backup           `json:"backups,omitempty"`  // of servers, that this node has made or copied
	Problems     []health.Active    `json:"problems"`
	Usage        *metric.Sample     `json:"usage,omitempty"` // of the machine; nil until it was measured
}

// Report is a node as it said it was.
type Report struct {
	Received time.Time `json:"received"`
	Status   Status    `json:"status"`
}

// Node is this machine as the cluster knows it.
type Node struct {
	Name          string `json:"name"`
	Address       string `json:"address"`
	Interface     string `json:"interface"`
	Role          string `json:"role"`
	PodCIDR       string `json:"podCIDR,omitempty"`
	ServiceCIDR   string `json:"serviceCIDR"`
	ClusterDNS    string `json:"clusterDNS"`
	Backend       string `json:"backend"`
	MTU           int    `json:"mtu"`
	Domain        string `json:"domain"` // of applications
	Cgroup        string `json:"cgroup"` // v1, v2 or hybrid
	OOMRestricted bool   `json:"oomRestricted"`
	HTTPPort      int    `json:"httpPort"`
	HTTPSPort     int    `json:"httpsPort"`
}

// Datastore is where the state is.
type Datastore struct {
	Store          string    `json:"store"`
	Path           string    `json:"path"`
	Bytes          int64     `json:"bytes"`
	Snapshots      int       `json:"snapshots"`
	NewestSnapshot time.Time `json:"newestSnapshot,omitzero"`
	// Restored tells of a damaged database that a snapshot replaced; empty when that never happened.
	Restored string `json:"restored,omitempty"`
	// Database is the site's own, where the datastore is external and was looked at.
	Database *datastore.DatabaseReport `json:"database,omitempty"`
}

// Backup is a sealed backup of a server as a node keeps it.
type Backup struct {
	Of      string    `json:"of"` // the server that made it
	Path    string    `json:"path"`
	Created time.Time `json:"created"`
	Bytes   int64     `json:"bytes"`
	SHA256  string    `json:"sha256,omitempty"`
	// Verified says that the node has compared it with its digest when it was written.
	Verified bool   `json:"verified"`
	Problem  string `json:"problem,omitempty"` // why it cannot be used
}

// Engines is what the last start staged.
type Engines struct {
	Dir    string `json:"dir"`
	Files  int    `json:"files"`
	Staged int    `json:"staged"`
	Bytes  int64  `json:"bytes"`
}

// Images is what has been imported since the start.
type Images struct {
	Carried  int   `json:"carried"`
	Imported int   `json:"imported"`
	Bytes    int64 `json:"bytes"`
}

// Bundle is what this node runs from.
type Bundle struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Digest  string `json:"digest"`
	Source  string `json:"source"`
	Signed  string `json:"signed"`
}

// Authority is what a node has of an authority of the site, and what it makes of it.
type Authority struct {
	pki.AuthorityState
	// Renewed is whether all of the node's certificates are of the issuer, and its programs have had the time to read them.
	Renewed bool `json:"renewed"`
	// Loaded is what the node's programs have started with, as Trusted.
	Loaded []string `json:"loaded"`
}

// Rotation is how far a change of authorities is.
type Rotation struct {
	Authorities []string  `json:"authorities"`
	Step        string    `json:"step"`
	Started     time.Time `json:"started"`
	Since       time.Time `json:"since"` // of the step
	// Restarting is the server that starts its programs anew.
	Restarting string `json:"restarting,omitempty"`
	// WaitsFor is what the step waits for, in words, by node. It is empty when the rotation is done.
	WaitsFor []string `json:"waitsFor,omitempty"`
}

// Unfinished says whether nodes have something left to do.
func (r *Rotation) Unfinished() bool { return r != nil && r.Step != "done" }

// RotationOrder asks for new authorities.
type RotationOrder struct {
	Authorities []string      `json:"authorities"`
	Overlap     time.Duration `json:"overlap"` // nanoseconds
}
