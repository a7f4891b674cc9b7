package server

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"islet/appliance/addon"
	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/join"
	"islet/appliance/kubeconfig"
	"islet/appliance/pki"
	"islet/appliance/registry"
)

// Leaves that are handed to workloads as secrets.
const (
	leafSite          = "site-certificate"
	leafMetricsServer = "metrics-server-certificate"
)

const (
	certificatesName    = "certificates"
	renewalInterval     = time.Hour
	expiryWarningInDays = 30
)

// allLeaves lists every certificate of this node.
func (n *node) allLeaves() []pki.Leaf {
	return alsoAt(n.ownLeaves(), n.derived.Address, n.otherAddress())
}

func (n *node) ownLeaves() []pki.Leaf {
	leaves := WorkerLeaves(n.derived.NodeName, n.derived.Address, n.Config.Node.Role)
	if n.isAgent() {
		return leaves
	}
	metrics := "metrics-server." + addon.Namespace + ".svc"
	leaves = append(leaves, registry.Leaves(n.derived.NodeName, n.derived.Address, n.derived.Domain, join.GroupServers)...)
	if n.replicated() {
		leaves = append(leaves, datastore.EtcdLeaves(n.derived.Address)...)
	}
	return append(append(controlplane.Leaves(n.controlPlane()), leaves...),
		pki.Leaf{Name: leafMetricsServer, Authority: pki.ClusterCA, CommonName: metrics, DNSNames: []string{metrics}, Server: true, UsedBy: "kubectl top"},
		pki.Leaf{Name: leafSite, Authority: pki.SiteCA, CommonName: n.derived.Domain, Server: true,
			DNSNames: []string{n.derived.Domain, "*." + n.derived.Domain}, Addresses: n.applicationAddresses(), UsedBy: "applications over HTTPS"},
	)
}

// applicationAddresses are where the gateway answers for this node.
func (n *node) applicationAddresses() []netip.Addr {
	own := []netip.Addr{n.derived.Address}
	if a := n.derived.ApplicationsAddress(); a != n.derived.Address {
		own = append(own, a)
	}
	return own
}

// ensureCertificates issues what is missing or due, and rewrites the operator's kubeconfig when its
// certificate changed. It tells whether it issued any.
func (n *node) ensureCertificates() (changed bool, err error) {
	n.issuing.Lock()
	defer n.issuing.Unlock()
	issued, err := n.pki.Ensure(n.allLeaves())
	if err != nil {
		return false, err
	}
	for _, i := range issued {
		n.Log.Info("certificate issued", "certificate", i.Leaf.Name, "reason", string(i.Reason))
		n.noteIssued()
	}
	access := n.controlPlane().Access(controlplane.LeafAdmin)
	access.Server = fmt.Sprintf("https://%s:%d", n.derived.Address, controlplane.SecurePort)
	return len(issued) > 0, kubeconfig.WriteEmbedded(n.layout.AdminKubeconfig(), access)
}

// certificatesUnit renews certificates while everything runs: the programs that use them watch the
// files, and those in secrets are applied again.
func (n *node) certificatesUnit() component.Unit {
	return component.Unit{New: func() component.Component {
		return component.Task{TaskName: certificatesName, Do: func(ctx context.Context, ready func()) error {
			tick := time.NewTicker(renewalInterval)
			defer tick.Stop()
			for {
				if err := n.renewCertificates(); err != nil {
					return err
				}
				ready()
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		}}
	}}
}

// renewCertificates does what ensureCertificates does while everything runs.
func (n *node) renewCertificates() error {
	changed, err := n.ensureCertificates()
	if err != nil || !changed {
		return err
	}
	return n.supervisor.Restart(addonsName)
}

// judgeCertificates reports what has expired or soon will in spite of renewal.
func (n *node) judgeCertificates(entries []pki.Entry) {
	for _, e := range entries {
		detail := "on " + e.NotAfter.Format(time.DateOnly)
		n.set(health.CertificateExpired, e.Name, e.DaysLeft < 0, detail)
		n.set(health.CertificateExpiring, e.Name, e.DaysLeft >= 0 && e.DaysLeft < expiryWarningInDays, detail)
	}
}
