package server

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/retry"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/kubelet"
	"islet/appliance/network"
	"islet/appliance/pki"
)

// ErrAbsent is returned where a rotation cannot begin because it could not go on.
var ErrAbsent = errors.New("all nodes must be there to get new authorities")

const (
	// settleTime is what programs take, with room, to read certificates that were written.
	settleTime = kube.CertificateReload + 5*time.Second
	// freshReport is how old the last word of a node may be that counts as being there.
	freshReport = 2 * time.Minute
	sealPurpose = "rotation of authorities"
)

// rotation is what a node knows of the last change of authorities.
type rotation struct {
	mu       sync.Mutex
	loaded   map[string][]string // what its programs have started with
	issued   time.Time           // when the last certificate was written
	rotating bool
	last     join.Rotation // on servers
	waitsFor []string
}

// rotating says whether a change of authorities is unfinished, as far as this node has heard.
func (n *node) rotating() bool {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	return n.rotation.rotating
}

// loadAuthorities notes which authorities the node's programs start with.
func (n *node) loadAuthorities() {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	n.rotation.loaded = map[string][]string{}
	for _, s := range n.pki.States() {
		n.rotation.loaded[s.Name] = s.Trusted
	}
}

func (n *node) noteIssued() {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	n.rotation.issued = time.Now()
}

// authorities is what this node tells of its authorities.
func (n *node) authorities() []api.Authority {
	due, err := n.pki.Due(n.allLeaves())
	if err != nil {
		n.Log.Warn("certificates not readable", "error", err)
		return nil
	}
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	settled := time.Since(n.rotation.issued) >= settleTime
	var out []api.Authority
	for _, s := range n.pki.States() {
		renewed := settled && !slices.ContainsFunc(due, func(i pki.Issued) bool { return i.Leaf.Authority == s.Name })
		out = append(out, api.Authority{AuthorityState: s, Renewed: renewed, Loaded: n.rotation.loaded[s.Name]})
	}
	return out
}

// rotationStatus is nil on agents, and on servers of a site that has its first authorities.
func (n *node) rotationStatus() *api.Rotation {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	r := n.rotation.last
	if r.Step == "" {
		return nil
	}
	return &api.Rotation{Authorities: r.Names(), Step: string(r.Step), Started: r.Started, Since: r.Since, Restarting: r.Restarting, WaitsFor: n.rotation.waitsFor}
}

func (n *node) judgeRotation() {
	r := n.rotationStatus()
	if r == nil {
		return
	}
	detail := fmt.Sprintf("%s, at step %q since %s", strings.Join(r.Authorities, ", "), r.Step, r.Since.Local().Format(time.TimeOnly))
	if len(r.WaitsFor) > 0 {
		detail += "; waits for " + strings.Join(r.WaitsFor, "; ")
	}
	n.set(health.AuthorityRotating, "an authority", r.Unfinished(), detail)
}

// outdated says whether programs of this node have started with an authority that is not trusted any more.
func (n *node) outdated() bool {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	for _, s := range n.pki.States() {
		for _, loaded := range n.rotation.loaded[s.Name] {
			if !slices.Contains(s.Trusted, loaded) {
				return true
			}
		}
	}
	return false
}

// followAuthorities gives an agent the authorities that it is to have.
func (n *node) followAuthorities(ctx context.Context, client *join.Client) error {
	trust, err := client.Authorities(ctx)
	if err != nil {
		return err
	}
	changed, err := n.pki.SetAuthorities(trust.Certificates, nil)
	if changed {
		n.Log.Info("authorities changed", "by", client.Server)
	}
	n.rotation.mu.Lock()
	n.rotation.rotating = trust.Rotating
	n.rotation.mu.Unlock()
	return err
}

// dropAuthorities starts those programs of an agent anew that go on trusting an authority that has gone. Pods do not notice.
func (n *node) dropAuthorities() error {
	if !n.outdated() {
		return nil
	}
	for _, name := range []string{kubelet.Name, network.AgentName, network.ProxyName} {
		if err := n.supervisor.Restart(name); err != nil {
			return err
		}
	}
	n.loadAuthorities()
	return nil
}

// Authorities implements join.Site.
func (s *site) Authorities(ctx context.Context, c join.Caller) (join.Authorities, error) {
	if _, err := s.members.Get(ctx, c); err != nil {
		return join.Authorities{}, err
	}
	r, err := s.rotations.Last(ctx)
	certificates := s.pki.Authorities()
	if r.Unfinished() {
		certificates = r.Certificates(r.Step, certificates)
	}
	return join.Authorities{Certificates: certificates, Rotating: r.Unfinished()}, err
}

// Rotate implements api.Daemon.
func (n *node) Rotate(ctx context.Context, o api.RotationOrder) error {
	if n.isAgent() {
		return fmt.Errorf("%w: ask a server", pki.ErrNoKey)
	}
	members, err := join.Members{Client: n.rotations.Client, Namespace: n.rotations.Namespace}.List(ctx)
	if err != nil {
		return err
	}
	if absent := n.absent(members); len(absent) > 0 {
		return fmt.Errorf("%w: nothing was heard of %s for %s", ErrAbsent, strings.Join(absent, ", "), freshReport)
	}
	var successors []join.Successor
	for _, name := range o.Authorities {
		made, err := n.pki.NewSuccessor(name)
		if err != nil {
			return err
		}
		sealed, err := n.pki.Seal(sealPurpose, made.Key)
		if err != nil {
			return err
		}
		old := n.pki.Authority(name).Issuer()
		successors = append(successors, join.Successor{Name: name, Old: old, New: made.Cert, Cross: made.Cross, Key: sealed})
	}
	r, err := n.rotations.Start(ctx, successors, o.Overlap)
	if err == nil {
		n.noteRotation(r, nil)
	}
	return err
}

// absent are the members that did not report lately, this node left out.
func (n *node) absent(members []join.Member) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, m := range members {
		if m.Removed == nil && m.Name != n.derived.NodeName && time.Since(n.reports[m.Name].Received) > freshReport {
			out = append(out, m.Name)
		}
	}
	return out
}

func (n *node) noteRotation(r join.Rotation, waitsFor []string) {
	n.rotation.mu.Lock()
	defer n.rotation.mu.Unlock()
	n.rotation.last, n.rotation.waitsFor, n.rotation.rotating = r, waitsFor, r.Unfinished()
}

// carryOn does a server's part of a rotation, and lets the next step begin when all nodes have taken this one. Each server
// does so: whichever sees it first. What a server has done it tells from its files, so that it goes on after a crash.
func (s *site) carryOn(ctx context.Context) error {
	r, err := s.rotations.Last(ctx)
	if err != nil || r.Step == "" {
		return err
	}
	if !r.Unfinished() {
		s.noteRotation(r, nil)
		return nil
	}
	if err := s.takeStep(ctx, r); err != nil {
		return fmt.Errorf("rotation of %s: step %s: %w", strings.Join(r.Names(), ", "), r.Step, err)
	}
	waitsFor, err := s.missing(ctx, r)
	if err != nil {
		return err
	}
	if len(waitsFor) == 0 {
		before := r.Step
		if r, err = s.rotations.Take(ctx, r.Step); err != nil {
			return err
		}
		if r.Step == before {
			waitsFor = []string{"programs in pods, until " + r.Taken.Add(r.Overlap).Local().Format(time.TimeOnly)}
		} else {
			s.Log.Info("rotation of authorities goes on", "authorities", r.Names(), "step", string(r.Step))
		}
	}
	s.noteRotation(r, waitsFor)
	return nil
}

// takeStep does what this server has to do at a step.
func (s *site) takeStep(ctx context.Context, r join.Rotation) error {
	if r.Step != join.StepTrust {
		err := s.adopt(r, r.Step)
		if r.Step == join.StepFinish && err == nil {
			err = s.tellExtensions(ctx, r)
		}
		if r.Step == join.StepFinish && err == nil && slices.Contains(r.Names(), pki.NodeCA) {
			err = s.revokeOutdated(ctx, r)
		}
		return err
	}
	own := s.derived.NodeName
	if s.hasTaken(r, s.report(own)) == "" {
		if r.Restarting != own || !s.isWell() {
			return nil
		}
		return s.rotations.EndTurn(ctx, own)
	}
	mine, err := s.rotations.Turn(ctx, own, func(server string) bool { return !s.isServer(ctx, server) })
	if err != nil || !mine {
		return err
	}
	if err := s.adopt(r, join.StepTrust); err != nil {
		return err
	}
	s.Log.Info("the daemon starts anew without the old authorities", "authorities", r.Names())
	s.StartAnew()
	return nil
}

// adopt brings this server's authorities and certificates to what they are at a step.
func (s *site) adopt(r join.Rotation, step join.Step) error {
	keys := map[string][]byte{}
	for _, a := range r.Authorities {
		key, err := s.pki.Open(sealPurpose, a.Key)
		if err != nil {
			return err
		}
		keys[a.Name] = key
	}
	changed, err := s.pki.SetAuthorities(r.Certificates(step, s.pki.Authorities()), keys)
	if err != nil || !changed {
		return err
	}
	s.Log.Info("authorities changed", "authorities", r.Names(), "step", string(step))
	return s.renewCertificates()
}

// extensionTrust is where extension API servers read whom they trust, by the authority.
var extensionTrust = map[string]string{pki.ClientCA: "client-ca-file", pki.FrontProxyCA: "requestheader-client-ca-file"}

// tellExtensions takes old authorities out of what extension API servers trust: API servers only ever add to it.
func (s *site) tellExtensions(ctx context.Context, r join.Rotation) error {
	return retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		trust := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "extension-apiserver-authentication"}}
		if err := s.client.Get(ctx, client.ObjectKeyFromObject(trust), trust); err != nil {
			return err
		}
		changed := false
		for _, a := range r.Authorities {
			key := extensionTrust[a.Name]
			if key != "" && trust.Data[key] != string(a.New) {
				trust.Data[key], changed = string(a.New), true
			}
		}
		if !changed {
			return nil
		}
		return s.client.Update(ctx, trust)
	})
}

// revokeOutdated revokes the join tokens that pin an authority which has gone.
func (s *site) revokeOutdated(ctx context.Context, r join.Rotation) error {
	tokens, err := s.tokens.List(ctx)
	if err != nil {
		return err
	}
	for _, t := range tokens {
		if t.Revoked != nil || t.Created.After(r.Started) {
			continue
		}
		id, err := join.ParseID(t.ID)
		if err == nil {
			_, err = s.tokens.Revoke(ctx, id)
		}
		if err != nil {
			return err
		}
		s.Log.Info("join token revoked: it pins the old authority", "token", t.ID)
	}
	return nil
}

// isWell says whether every component of this server is ready.
func (n *node) isWell() bool { return !slices.ContainsFunc(n.supervisor.Snapshot(), n.isMissing) }

func (s *site) isServer(ctx context.Context, name string) bool {
	member, err := s.members.Find(ctx, name)
	gone := errors.Is(err, join.ErrNotMember) || errors.Is(err, join.ErrRemoved)
	return !gone && (err != nil || member.Role == config.RoleServer)
}

// report is the last that is known of a node.
func (s *site) report(node string) []api.Authority {
	if node == s.derived.NodeName {
		return s.authorities()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reports[node].Status.Authorities
}

// missing are the nodes that have not taken the step, with what they lack.
func (s *site) missing(ctx context.Context, r join.Rotation) ([]string, error) {
	members, err := s.members.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []string
	if r.Restarting != "" {
		out = append(out, r.Restarting+", which starts its programs anew")
	}
	for _, m := range members {
		if m.Removed != nil || m.Name == r.Restarting {
			continue
		}
		if why := s.hasTaken(r, s.report(m.Name)); why != "" {
			if slices.Contains(s.absent([]join.Member{m}), m.Name) {
				why = "nothing is heard of it"
			}
			out = append(out, m.Name+": "+why)
		}
	}
	return out, nil
}

// hasTaken says what a node still lacks at a step; empty when nothing.
func (s *site) hasTaken(r join.Rotation, node []api.Authority) string {
	for _, a := range r.Authorities {
		certs, err := pki.ParseCerts(a.New)
		if err != nil {
			return "the new " + a.Name + " is damaged: " + err.Error()
		}
		fingerprint := pki.Fingerprint(certs[0])
		i := slices.IndexFunc(node, func(n api.Authority) bool { return n.Name == a.Name })
		if i < 0 || node[i].Trusted[0] != fingerprint {
			return "it does not have the new " + a.Name
		}
		only := []string{fingerprint}
		switch has := node[i]; {
		case !has.Renewed:
			return "its certificates by the " + a.Name
		case r.Step == join.StepTrust && (!slices.Equal(has.Trusted, only) || !slices.Equal(has.Loaded, only)):
			return "its programs trust the old " + a.Name
		case r.Step == join.StepFinish && has.Cross:
			return "it shows what the old " + a.Name + " has signed"
		}
	}
	return ""
}
