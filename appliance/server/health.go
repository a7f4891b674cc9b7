package server

import (
	"context"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/component"
	"islet/appliance/datastore"
	"islet/appliance/health"
)

const (
	healthInterval = 10 * time.Second
	// crashingAfter is how many failures in a row make a component one that keeps stopping.
	crashingAfter = 3
	lowDiskBytes  = 1 << 30
	lowInodeShare = 0.05
)

// watchHealth turns what is measured into declared problems until ctx is cancelled.
func (n *node) watchHealth(ctx context.Context) {
	tick := time.NewTicker(healthInterval)
	defer tick.Stop()
	for {
		changed := n.supervisor.Changed()
		n.judgeComponents(n.supervisor.Snapshot())
		select {
		case <-ctx.Done():
			return
		case <-changed:
			continue
		case <-tick.C:
		}
		n.judgeDisk()
		n.judgeAddress()
		n.judgeClock()
		n.judgeVIPs(n.vipStatus())
		n.judgeRotation()
		n.judgeDatabase()
		n.backups.judge(time.Now(), n.others())
		if entries, err := n.pki.Inventory(n.allLeaves()); err == nil {
			n.judgeCertificates(entries)
		}
	}
}

// set raises or clears a problem.
func (n *node) set(code health.Code, subject string, on bool, detail string) {
	if on {
		n.problems.Set(code, subject, detail)
	} else {
		n.problems.Clear(code, subject)
	}
}

func (n *node) judgeComponents(all []component.Status) {
	now := time.Now()
	for _, c := range all {
		why := string(c.State)
		if c.Reason != "" {
			why += ": " + c.Reason
		}
		n.set(notReadyCode(c.Name), c.Name, n.isMissing(c) && c.State != component.Stopped, why)
		n.set(health.ComponentCrashing, c.Name, c.IsCrashing(crashingAfter, now), why)
	}
	n.set(health.ServerStandby, nodeName, n.standby.Load(), "")
	n.set(health.NodeRemoved, nodeName, n.isRemoved(), "")
	restored := n.restoration()
	n.set(health.DatastoreRestored, "datastore", restored != "", restored)
}

// notReadyCode is the problem that there is when the component is not ready.
func notReadyCode(name string) health.Code {
	switch name {
	case nodeName:
		return health.NodeNotReady
	case addonsName:
		return health.AddonFailed
	case datastore.SnapshotsName:
		return health.SnapshotFailed
	}
	return health.ComponentNotReady
}

func (n *node) judgeDisk() {
	var s unix.Statfs_t
	if err := unix.Statfs(n.layout.StateDir, &s); err != nil {
		n.Log.Warn("free space not readable", "path", n.layout.StateDir, "error", err)
		return
	}
	n.judgeSpace(n.layout.StateDir, s)
}

// judgeSpace reports what is short on a filesystem. Some count no inodes.
func (n *node) judgeSpace(path string, s unix.Statfs_t) {
	free := int64(s.Bavail) * s.Bsize
	n.set(health.DiskBytesLow, path, free < lowDiskBytes, fmt.Sprintf("%d MiB free", free>>20))
	low := s.Files > 0 && float64(s.Ffree) < lowInodeShare*float64(s.Files)
	n.set(health.DiskInodesLow, path, low, fmt.Sprintf("%d inodes free", s.Ffree))
}

func (n *node) judgeAddress() {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		n.Log.Warn("addresses not readable", "error", err)
		return
	}
	found := false
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && ip.IP.String() == n.derived.Address.String() {
			found = true
		}
	}
	n.set(health.AddressMissing, n.derived.Address.String(), !found, "")
}

// judgeClock compares the clock with the time of the build, before which it cannot be right.
func (n *node) judgeClock() {
	built, err := time.Parse(time.RFC3339, n.Build.Date)
	n.set(health.ClockBehind, "the clock", err == nil && time.Now().Before(built), "it shows "+time.Now().Format(time.RFC3339))
}
