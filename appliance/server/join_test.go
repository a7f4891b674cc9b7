package server

import (
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	upstream "sigs.k8s.io/controller-runtime/pkg/client/fake"

	"islet/appliance/config"
	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/kube/client/fake"
	"islet/appliance/pki"
)

// office is a site of which nothing runs, with a token for one agent.
func office(t *testing.T, nodes ...*corev1.Node) (*site, join.Token) {
	t.Helper()
	builder := upstream.NewClientBuilder()
	for _, n := range nodes {
		builder = builder.WithObjects(n)
	}
	c := fake.Of(builder.Build())
	s := imagined(t).newSite(c)
	s.Log = slog.New(slog.DiscardHandler)
	token, err := join.NewToken(config.RoleAgent, join.PinOf(s.pki.Authority(pki.NodeCA).Cert), serversAt(s.derived.Address).Node)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.tokens.Create(t.Context(), token, time.Hour, 1, ""); err != nil {
		t.Fatal(err)
	}
	return s, token
}

// kubernetesNode is a node as its kubelet registered it.
func kubernetesNode(name, address string, ready corev1.ConditionStatus) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Addresses:  []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}},
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}},
	}}
}

// applicant is a machine with keys of its own.
func applicant(t *testing.T, token join.Token, name, address string) join.Application {
	t.Helper()
	a := join.Application{
		TokenID: token.ID, Secret: token.Secret, Role: config.RoleAgent, Node: name, Address: netip.MustParseAddr(address), Requests: map[string][]byte{},
	}
	for _, l := range WorkerLeaves(name, a.Address, a.Role) {
		r, err := pki.NewRequest(l)
		if err != nil {
			t.Fatal(err)
		}
		a.Requests[l.Name] = r.CSR
	}
	return a
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(a *join.Application, s *site)
		want   error
		says   string
	}{
		"good":            {func(*join.Application, *site) {}, nil, ""},
		"a wrong secret":  {func(a *join.Application, _ *site) { a.Secret[0]++ }, join.ErrUnknownToken, ""},
		"a server":        {func(a *join.Application, _ *site) { a.Role = config.RoleServer }, join.ErrWrongRole, "for a node of role agent"},
		"the server's":    {func(a *join.Application, _ *site) { a.Node = "node1" }, join.ErrNameTaken, "node1"},
		"a ready node's":  {func(a *join.Application, _ *site) { a.Node = "node2" }, join.ErrNameTaken, "node2"},
		"a taken address": {func(a *join.Application, _ *site) { a.Address = netip.MustParseAddr("192.0.2.12") }, join.ErrAddressTaken, "192.0.2.12 is node2"},
		"a bad name":      {func(a *join.Application, _ *site) { a.Node = "No" }, join.ErrBadRequest, "node.name"},
		"a bad label":     {func(a *join.Application, _ *site) { a.Labels = map[string]string{"kubernetes.io/x": "y"} }, join.ErrBadRequest, "node.labels"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, token := office(t, kubernetesNode("node1", "192.0.2.11", corev1.ConditionTrue), kubernetesNode("node2", "192.0.2.12", corev1.ConditionTrue))
			a := applicant(t, token, "node3", "192.0.2.13")
			c.change(&a, s)
			answer, err := s.Consult(t.Context(), a)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %v %q", err, c.want, c.says)
			}
			if err != nil {
				return
			}
			made, _, err := config.Decode(strings.NewReader(string(answer.Config)))
			if err != nil || made.Node.Name != "node3" || made.Node.Role != config.RoleAgent || made.Network.MTU != s.derived.MTU || made.Site.Name != s.Config.Site.Name {
				t.Errorf("%+v, %v", made.Node, err)
			}
		})
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	s, token := office(t, kubernetesNode("node1", "192.0.2.11", corev1.ConditionTrue))
	a := applicant(t, token, "node3", "192.0.2.13")
	less := a
	less.Requests = map[string][]byte{join.NodeLeaf: a.Requests[join.NodeLeaf]}
	if _, err := s.Admit(t.Context(), less); !errors.Is(err, join.ErrBadRequest) {
		t.Errorf("too few requests: %v", err)
	}
	for range 2 { // the first answer may have been lost
		admission, err := s.Admit(t.Context(), a)
		if err != nil || len(admission.Certificates) != len(a.Requests) || len(admission.Authorities) == 0 || len(admission.API) != 1 {
			t.Fatalf("%+v, %v", admission, err)
		}
	}
	other := applicant(t, token, "node4", "192.0.2.14")
	if _, err := s.Admit(t.Context(), other); !errors.Is(err, join.ErrUsedToken) {
		t.Errorf("a second machine with the token: %v", err)
	}
	key, err := keyOf(a.Requests[join.NodeLeaf])
	if err != nil {
		t.Fatal(err)
	}
	caller := join.Caller{Name: "node3", Key: key}
	next := applicant(t, token, "node3", "192.0.2.13").Requests
	if _, err := s.Renew(t.Context(), caller, join.Renewal{Requests: map[string][]byte{"admin": next[join.NodeLeaf]}}); !errors.Is(err, join.ErrBadRequest) {
		t.Errorf("an agent asks for the administrator's certificate: %v", err)
	}
	if renewed, err := s.Renew(t.Context(), caller, join.Renewal{Requests: next}); err != nil || len(renewed.Certificates) != len(next) {
		t.Errorf("%+v, %v", renewed, err)
	}
	newKey, err := keyOf(next[join.NodeLeaf])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Servers(t.Context(), join.Caller{Name: "node3", Key: newKey}); err != nil {
		t.Errorf("with the renewed key: %v", err)
	}
	stranger, member := join.Caller{Name: "node3", Key: "stolen"}, join.Caller{Name: "node3", Key: newKey}
	if _, err := s.Servers(t.Context(), stranger); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("with another key: %v", err)
	}
	for who, want := range map[join.Caller]error{member: nil, stranger: join.ErrNotMember, {Name: "node9", Key: newKey}: join.ErrNotMember} {
		if _, err := s.Carry(t.Context(), who); !errors.Is(err, want) {
			t.Errorf("the bundle for %+v: %v, want %v", who, err, want)
		}
	}
	if _, err := s.Offer(t.Context(), other); !errors.Is(err, join.ErrUsedToken) {
		t.Errorf("what the site runs, with a used token: %v", err)
	}
	// Removal: only the machine itself may say that it has heard of it.
	if err := s.Left(t.Context(), member); !errors.Is(err, join.ErrBadRequest) {
		t.Errorf("a node leaves that was not removed: %v", err)
	}
	if err := s.members.Dismiss(t.Context(), "node3"); err != nil {
		t.Fatal(err)
	}
	if err := s.Left(t.Context(), stranger); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("a stranger says that the node has left: %v", err)
	}
	if _, err := s.Servers(t.Context(), member); !errors.Is(err, join.ErrRemoved) {
		t.Errorf("after its removal: %v", err)
	}
	if err := s.Left(t.Context(), member); err != nil {
		t.Error(err)
	}
	if all, err := s.members.List(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
}

// A machine that was installed anew takes its old self's place once somebody has approved, and its old keys are worth nothing.
func TestAdmitInThePlaceOfADeadNode(t *testing.T) {
	t.Parallel()
	s, token := office(t, kubernetesNode("node1", "192.0.2.11", corev1.ConditionTrue), kubernetesNode("node3", "192.0.2.13", corev1.ConditionUnknown))
	if err := s.members.Put(t.Context(), join.Member{Name: "node3", Address: netip.MustParseAddr("192.0.2.13"), Role: config.RoleAgent, Keys: []join.Key{"old"}}); err != nil {
		t.Fatal(err)
	}
	a := applicant(t, token, "node3", "192.0.2.13")
	if _, err := s.Admit(t.Context(), a); !errors.Is(err, join.ErrAwaitingApproval) {
		t.Fatalf("%v", err)
	}
	list, err := s.waiting.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Replaces {
		t.Fatalf("%+v, %v", list, err)
	}
	if _, err := s.waiting.Decide(t.Context(), "node3", list[0].Key, true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admit(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: "node3"}, &corev1.Node{}); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("the old node is still there: %v", err)
	}
	if _, err := s.Servers(t.Context(), join.Caller{Name: "node3", Key: "old"}); !errors.Is(err, join.ErrNotMember) {
		t.Errorf("with the old key: %v", err)
	}
	if list, err := s.waiting.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestAdmitWithApproval(t *testing.T) {
	t.Parallel()
	s, token := office(t)
	s.Config.Site.RequireApproval = true
	a := applicant(t, token, "node3", "192.0.2.13")
	if _, err := s.Admit(t.Context(), a); !errors.Is(err, join.ErrAwaitingApproval) {
		t.Fatalf("%v", err)
	}
	key, err := keyOf(a.Requests[join.NodeLeaf])
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		approve bool
		want    error
	}{{false, join.ErrNotApproved}, {true, nil}} {
		if _, err := s.waiting.Decide(t.Context(), "node3", key, c.approve); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Admit(t.Context(), a); !errors.Is(err, c.want) {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}
