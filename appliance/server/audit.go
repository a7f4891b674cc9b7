package server

import (
	"bytes"
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

	checked    atomic.Bool // that the journal is what was published of it
	published  uint64
	signedWith []byte // the certificate of what was published last
	broken     atomic.Pointer[audit.Finding]
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
			if err := a.publish(ctx, journal); err != nil && ctx.Err() == nil {
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
func (a *auditor) publish(ctx context.Context, journal *audit.Journal) error {
	if a.broken.Load() != nil {
		return nil
	}
	if !a.checked.Load() {
		finding, err := a.compare(ctx, journal)
		if err != nil {
			return err
		}
		if a.checked.Store(true); finding != nil {
			a.broken.Store(finding)
			a.log.Error("audit log was tampered with", "chain", finding.Chain, "entry", finding.Seq, "found", finding.Text)
			return nil
		}
	}
	pair, err := a.pair()
	last := journal.Last()
	if err != nil || last.Seq == a.published && bytes.Equal(pair.Certificate[0], a.signedWith) {
		return err
	}
	head, err := audit.Sign(last, pair, time.Now())
	if err == nil {
		err = audit.Publish(ctx, a.client, head)
	}
	if err == nil {
		a.published, a.signedWith = last.Seq, pair.Certificate[0]
	}
	return err
}

// compare holds the journal against the heads that are published of this server's chains. A head by an authority that was replaced
// meanwhile says nothing; it is signed anew. That a former chain is missing, with the machine or the disk that had it, is written
// down in this one: it stays a finding of `appliance audit verify`, but no reason why this server should not work.
func (a *auditor) compare(ctx context.Context, journal *audit.Journal) (*audit.Finding, error) {
	heads, err := audit.Published(ctx, a.client)
	if err != nil {
		return nil, err
	}
	report, err := audit.VerifyJournal(a.dir, a.node, heads, a.authorities())
	if err != nil {
		return nil, err
	}
	for _, f := range report.Findings {
		switch f.Kind {
		case audit.KindSignature:
		case audit.KindMissing:
			if err := a.missing(journal, f); err != nil {
				return nil, err
			}
		default:
			return &f, nil
		}
	}
	return nil, nil
}

// missing writes down once that a former chain of this server is not here.
func (a *auditor) missing(journal *audit.Journal, f audit.Finding) error {
	lost := audit.Entry{Time: time.Now(), Who: "islet", Verb: audit.VerbLost, Object: "chains/" + f.Chain, Detail: f.Text}
	told := false
	err := audit.ReadAll(a.dir, func(e audit.Entry) error {
		told = told || e.Verb == lost.Verb && e.Object == lost.Object
		return nil
	})
	if err != nil || told {
		return err
	}
	a.log.Warn("a former audit log of this server is not here", "chain", f.Chain, "entries", f.Seq)
	return journal.Append(lost)
}
