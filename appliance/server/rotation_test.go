package server

import (
	"slices"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/join"
	"islet/appliance/pki"
)

func TestHasTaken(t *testing.T) {
	t.Parallel()
	store, err := pki.Open(t.TempDir(), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	next, err := store.NewSuccessor(pki.EtcdCA)
	if err != nil {
		t.Fatal(err)
	}
	certs, err := pki.ParseCerts(next.Cert)
	if err != nil {
		t.Fatal(err)
	}
	old, fresh := pki.Fingerprint(store.Authority(pki.EtcdCA).Cert), pki.Fingerprint(certs[0])
	both := []string{fresh, old}
	node := func(trusted, loaded []string, cross, renewed bool) []api.Authority {
		return []api.Authority{{AuthorityState: pki.AuthorityState{Name: pki.EtcdCA, Trusted: trusted, Cross: cross}, Loaded: loaded, Renewed: renewed}}
	}
	all := []join.Step{join.StepIssue, join.StepTrust, join.StepFinish}
	for name, c := range map[string]struct {
		report []api.Authority
		taken  []join.Step
	}{
		"nothing heard":            {nil, nil},
		"before":                   {node([]string{old}, []string{old}, false, true), nil},
		"certificates to come":     {node(both, []string{old}, true, false), nil},
		"issued":                   {node(both, []string{old}, true, true), []join.Step{join.StepIssue}},
		"not started anew":         {node([]string{fresh}, []string{old}, true, true), []join.Step{join.StepIssue}},
		"started with both":        {node([]string{fresh}, both, true, true), []join.Step{join.StepIssue}},
		"started anew":             {node([]string{fresh}, []string{fresh}, true, true), []join.Step{join.StepIssue, join.StepTrust}},
		"cross certificates shown": {node([]string{fresh}, []string{fresh}, false, false), nil},
		"done":                     {node([]string{fresh}, []string{fresh}, false, true), all},
	} {
		for _, step := range all {
			r := join.Rotation{Step: step, Authorities: []join.Successor{{Name: pki.EtcdCA, New: next.Cert}}}
			if why := new(site).hasTaken(r, c.report); (why == "") != slices.Contains(c.taken, step) {
				t.Errorf("%s: %s: %q", name, step, why)
			}
		}
	}
}
