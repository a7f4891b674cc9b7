package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/address"
	"islet/appliance/join"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
)

// ownMove is the site towards the server itself.
type ownMove struct{ *site }

// Move implements mover.
func (o ownMove) Move(ctx context.Context) (*join.Move, error) {
	m, err := o.members.Find(ctx, o.derived.NodeName)
	return m.Move, err
}

// ReportMove implements mover.
func (o ownMove) ReportMove(ctx context.Context, r join.MoveReport) error {
	return o.members.ReportMove(ctx, o.derived.NodeName, r)
}

// Move implements join.Site.
func (s *site) Move(ctx context.Context, c join.Caller) (*join.Move, error) {
	m, err := s.members.Get(ctx, c)
	return m.Move, err
}

// ReportMove implements join.Site.
func (s *site) ReportMove(ctx context.Context, c join.Caller, r join.MoveReport) error {
	m, err := s.members.Get(ctx, c)
	if err != nil {
		return err
	}
	if m.Move == nil || m.Move.To != r.To {
		return fmt.Errorf("%w: %s is not asked to move to %s", join.ErrBadRequest, c.Name, r.To)
	}
	if r.State == join.MoveArrived || r.State == join.MoveDone {
		err := s.reached(ctx, m, r.Ports)
		if err != nil || r.State == join.MoveArrived {
			return err
		}
	}
	s.Log.Info("change of a node's address", "node", c.Name, "to", r.To, "state", string(r.State), "why", r.Why)
	return s.members.ReportMove(ctx, c.Name, r)
}

// reached says whether a node that moves is where it says, for this server and for Kubernetes.
func (s *site) reached(ctx context.Context, m join.Member, ports []uint16) error {
	if err := join.CheckReached(s.derived.Address, m.Move.To, reach(ctx, m.Move.To, ports)); err != nil {
		return err
	}
	var node corev1.Node
	if err := s.client.Get(ctx, client.ObjectKey{Name: m.Name}, &node); err != nil {
		return err
	}
	if !hasAddress(&node, m.Move.To) || !kube.IsReady(&node) {
		return fmt.Errorf("%w: Kubernetes does not call %s ready at %s yet", join.ErrUnreachable, m.Name, m.Move.To)
	}
	return nil
}

// noteSeen remembers that a node has found this server at its new address. s.mu is held.
func (s *site) noteSeen(ctx context.Context, name string) {
	at, ok := ctx.Value(http.LocalAddrContextKey).(net.Addr)
	if !ok || s.change.State != address.Trying {
		return
	}
	if here, err := netip.ParseAddrPort(at.String()); err == nil && here.Addr().Unmap() == s.change.To.Addr() {
		if s.seen == nil {
			s.seen = map[string]bool{}
		}
		s.seen[name] = true
	}
}

// seenByAll says whether every agent that Kubernetes calls ready has found the site's only server at its new address.
func (s *site) seenByAll(ctx context.Context) error {
	var nodes corev1.NodeList
	if err := s.client.List(ctx, &nodes); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, node := range nodes.Items {
		if node.Name == s.derived.NodeName {
			if !hasAddress(&node, s.derived.Address) || !kube.IsReady(&node) {
				return fmt.Errorf("%w: Kubernetes does not call %s ready at %s yet", join.ErrUnreachable, node.Name, s.derived.Address)
			}
			continue
		}
		if kube.IsReady(&node) && !s.seen[node.Name] {
			return fmt.Errorf("%w: %s has not found this server at %s", join.ErrUnreachable, node.Name, s.derived.Address)
		}
	}
	return nil
}
