package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync/atomic"
	"time"

	"islet/appliance/audit"
	"islet/appliance/component"
	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/pki"
)

const (
	auditName = "audit"
	// auditInterval is how often the API server's log is looked at, and headInterval how often the others are told how far it has come.
	auditInterval = time.Second
	headInterval  = 10 * time.Second
)

// auditUnit writes down what people do through this server's API.
func (n *node) auditUnit(c client.Client) component.Unit {
	return component.Unit{New: func() component.Component {
		return &auditor{
			client: c, log: n.Log, node: n.derived.NodeName, dir: n.layout.Audit(), events: filepath.Join(n.layout.Logs(), "audit"),
			pair:        func() (tls.Certificate, error) { return n.pki.Pair(join.NodeLeaf) },
			authorities: func() []*x509.Certificate { return n.pki.Authority(pki.NodeCA).Trusted },
		}
	}}
}

// auditor follows the API server's log and keeps the chain.
type auditor struct {
	client      client.Client
	log         *slog.Logger
	node        string
	dir, events string
	pair        func() (tls.Certificate, error)
	authorities func() []*x509.Certificate

	checked   bool // that the journal is what was published of it
	published uint64
	broken    atomic.Pointer[audit.Finding]
}

// Name implements component.Component.
func (a *auditor) Name() string { return auditName }

// Needs implements component.Component. The log is there also while the API server is not.
func (a *auditor) Needs() []string { return nil }

// Check implements component.Checker.
func (a *auditor) Check(context.Context) error {
	if f := a.broken.Load(); f != nil {
		return fmt.Errorf("the audit log was tampered with: %s; see `appliance audit verify`", f.Text)
	}
	return nil
}

// Run implements component.Component.
func (a *auditor) Run(ctx context.Context, ready func()) (err error) {
	journal, err := audit.Open(a.dir, a.node, time.Now())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close()) }()
	follower, err := audit.NewFollower(a.events, filepath.Join(a.dir, "position.json"))
	if err != nil {
		return err
	}
	ready()
	tick := time.NewTicker(auditInterval)
	defer tick.Stop()
	var told time.Time
	for {
		if err := a.follow(journal, follower); err != nil {
			return err
		}
		if time.Since(told) >= headInterval {
			told = time.Now()
			if err := a.publish(ctx, journal.Last()); err != nil && ctx.Err() == nil {
				a.log.Debug("audit head not published", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// follow takes over all that is new.
func (a *auditor) follow(journal *audit.Journal, follower *audit.Follower) error {
	for more := true; more; {
		var entries []audit.Entry
		var err error
		if entries, more, err = follower.Poll(time.Now()); err != nil {
			return err
		}
		if err := journal.Append(entries...); err != nil {
			return err
		}
		if err := follower.Done(); err != nil {
			return err
		}
	}
	return nil
}

// publish tells the others how far the chain has come, once it is what they know of it already.
func (a *auditor) publish(ctx context.Context, last audit.Entry) error {
	if last.Seq == a.published || a.broken.Load() != nil {
		return nil
	}
	if !a.checked {
		finding, err := a.compare(ctx)
		if err != nil {
			return err
		}
		if a.checked = true; finding != nil {
			a.broken.Store(finding)
			a.log.Error("audit log was tampered with", "chain", finding.Chain, "entry", finding.Seq, "found", finding.Text)
			return nil
		}
	}
	pair, err := a.pair()
	if err != nil {
		return err
	}
	head, err := audit.Sign(last, pair, time.Now())
	if err == nil {
		err = audit.Publish(ctx, a.client, head)
	}
	if err == nil {
		a.published = last.Seq
	}
	return err
}

// compare holds the journal against the heads that are published of this server's chains.
func (a *auditor) compare(ctx context.Context) (*audit.Finding, error) {
	heads, err := audit.Published(ctx, a.client)
	if err != nil {
		return nil, err
	}
	report, err := audit.VerifyJournal(a.dir, a.node, heads, a.authorities())
	if err != nil || len(report.Findings) == 0 {
		return nil, err
	}
	return &report.Findings[0], nil
}
