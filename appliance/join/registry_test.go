package join

import (
	"errors"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/config"
	"islet/appliance/kube/client/fake"
)

// office is a registry with a clock that the test moves.
type office struct {
	Registry
	at time.Time
}

func newOffice() *office {
	o := &office{at: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	o.Registry = Registry{Client: fake.New(), Namespace: "islet-system", Clock: func() time.Time { return o.at }}
	return o
}

func (o *office) token(t *testing.T, role config.Role, uses int) Token {
	t.Helper()
	token := sample(t, role, "10.77.0.11:9443")
	if _, err := o.Create(t.Context(), token, 24*time.Hour, uses, "rack 2"); err != nil {
		t.Fatal(err)
	}
	return token
}

func TestRedeem(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		do   func(t *testing.T, o *office, token *Token)
		role config.Role
		want error
		says string
	}{
		"good":              {func(*testing.T, *office, *Token) {}, config.RoleAgent, nil, ""},
		"in its last hour":  {func(_ *testing.T, o *office, _ *Token) { o.at = o.at.Add(23 * time.Hour) }, config.RoleAgent, nil, ""},
		"expired":           {func(_ *testing.T, o *office, _ *Token) { o.at = o.at.Add(25 * time.Hour) }, config.RoleAgent, ErrExpiredToken, "at 2026-11-02 12:00:00"},
		"of another site":   {func(_ *testing.T, _ *office, token *Token) { token.ID[0]++ }, config.RoleAgent, ErrUnknownToken, ""},
		"with other secret": {func(_ *testing.T, _ *office, token *Token) { token.Secret[0]++ }, config.RoleAgent, ErrUnknownToken, ""},
		"another role":      {func(*testing.T, *office, *Token) {}, config.RoleServer, ErrWrongRole, "for a node of role agent"},
		"revoked": {func(t *testing.T, o *office, token *Token) {
			if _, err := o.Revoke(t.Context(), token.ID); err != nil {
				t.Fatal(err)
			}
		}, config.RoleAgent, ErrRevokedToken, "2026-11-01"},
		"used by another": {func(t *testing.T, o *office, token *Token) {
			if _, err := o.Redeem(t.Context(), token.ID, token.Secret, config.RoleAgent, Use{Node: "node2"}); err != nil {
				t.Fatal(err)
			}
		}, config.RoleAgent, ErrUsedToken, "last by node2"},
		"used by the same name elsewhere": {func(t *testing.T, o *office, token *Token) {
			if _, err := o.Redeem(t.Context(), token.ID, token.Secret, config.RoleAgent, Use{Node: "node3"}); err != nil {
				t.Fatal(err)
			}
		}, config.RoleAgent, ErrUsedToken, "last by node3"},
		"used by the same": {func(t *testing.T, o *office, token *Token) {
			if _, err := o.Redeem(t.Context(), token.ID, token.Secret, config.RoleAgent, Use{Node: "node3", Address: netip.MustParseAddr("10.77.0.13")}); err != nil {
				t.Fatal(err)
			}
		}, config.RoleAgent, nil, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOffice()
			token := o.token(t, config.RoleAgent, 1)
			c.do(t, o, &token)
			by := Use{Node: "node3", Address: netip.MustParseAddr("10.77.0.13")}
			if err := o.Check(t.Context(), token.ID, token.Secret, c.role, by); !errors.Is(err, c.want) || (c.want == nil) != (err == nil) {
				t.Errorf("checked beforehand: %v, want %v", err, c.want)
			}
			r, err := o.Redeem(t.Context(), token.ID, token.Secret, c.role, by)
			if !errors.Is(err, c.want) || (c.want == nil) != (err == nil) || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("%v, want %v %q", err, c.want, c.says)
			}
			if err == nil && (len(r.Uses) != 1 || r.Uses[0].Node != "node3") {
				t.Errorf("uses %+v", r.Uses)
			}
		})
	}
}

// The last use is granted once, whoever asks at the same time.
func TestRedeemTogether(t *testing.T) {
	t.Parallel()
	o := newOffice()
	token := o.token(t, config.RoleAgent, 2)
	var granted atomic.Int32
	var all sync.WaitGroup
	for _, key := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			_, err := o.Redeem(t.Context(), token.ID, token.Secret, config.RoleAgent, Use{Node: key})
			switch {
			case err == nil:
				granted.Add(1)
			case !errors.Is(err, ErrUsedToken):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if granted.Load() != 2 {
		t.Errorf("granted %d times, want 2", granted.Load())
	}
}

func TestRegistryKeepsNoSecretAndForgets(t *testing.T) {
	t.Parallel()
	o := newOffice()
	first := o.token(t, config.RoleAgent, 1)
	var secrets corev1.SecretList
	if err := o.Client.List(t.Context(), &secrets); err != nil || len(secrets.Items) != 1 {
		t.Fatalf("%d secrets, %v", len(secrets.Items), err)
	}
	if stored := string(secrets.Items[0].Data[recordKey]); strings.Contains(stored, string(first.Secret[:])) || !strings.Contains(stored, `"note":"rack 2"`) {
		t.Errorf("stored %s", stored)
	}
	o.at = o.at.Add(5 * 24 * time.Hour)
	second := o.token(t, config.RoleServer, 3)
	list, err := o.List(t.Context())
	if err != nil || len(list) != 2 || list[0].ID != second.ID.String() || list[1].ID != first.ID.String() {
		t.Errorf("%+v, %v: want the newest first, and an expired one kept for a week", list, err)
	}
	o.at = o.at.Add(4 * 24 * time.Hour)
	o.token(t, config.RoleAgent, 1)
	if list, err := o.List(t.Context()); err != nil || len(list) != 2 {
		t.Errorf("%+v, %v: want the first one forgotten", list, err)
	}
	if _, err := o.Revoke(t.Context(), first.ID); !errors.Is(err, ErrUnknownToken) {
		t.Errorf("revoke of a forgotten one: %v", err)
	}
}
