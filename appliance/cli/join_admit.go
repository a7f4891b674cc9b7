package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/join"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/server"
	"islet/appliance/setup"
)

// enter asks to be let in and keeps what it gets.
func (f *joinFlags) enter(ctx context.Context, client *join.Client, a join.Application, l layout.Layout) error {
	pending := map[string]pki.Request{}
	a.Requests = map[string][]byte{}
	for _, leaf := range server.WorkerLeaves(a.Node, a.Address, a.Role) {
		r, err := pki.NewRequest(leaf)
		if err != nil {
			return err
		}
		pending[leaf.Name], a.Requests[leaf.Name] = r, r.CSR
	}
	admission, err := f.admit(ctx, client, a)
	if err != nil {
		return err
	}
	if err := pki.WriteAuthorities(l.PKI(), admission.Authorities); err != nil {
		return err
	}
	store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
	if err != nil {
		return err
	}
	for name, r := range pending {
		if err := store.Install(r, admission.Certificates[name]); err != nil {
			return err
		}
	}
	if a.Role == config.RoleServer {
		if err := pki.WriteKeys(l.PKI(), admission.Keys); err != nil {
			return err
		}
		if err := datastore.WriteCredentials(l.PKI(), admission.Database); err != nil {
			return err
		}
	}
	return join.WriteServers(l.Servers(), admission.Servers)
}

// admit asks until somebody has approved, where that is needed.
func (f *joinFlags) admit(ctx context.Context, client *join.Client, a join.Application) (join.Admission, error) {
	deadline := time.Now().Add(f.patient)
	for told := false; ; {
		admission, err := client.Admit(ctx, a)
		if !errors.Is(err, join.ErrAwaitingApproval) {
			return admission, err
		}
		if !told {
			told = true
			info, err := pki.PublicKey(a.Requests[join.NodeLeaf])
			if err != nil {
				return admission, err
			}
			f.driver.Tell(setup.Approval{Node: a.Node, Words: join.KeyOf(info).Words()})
		}
		if time.Now().After(deadline) {
			return admission, Exit(CodeTimeout, Advise(fmt.Errorf("not approved within %s: %w", f.patient, err), "run the same command again, and let somebody approve meanwhile"))
		}
		select {
		case <-ctx.Done():
			return admission, ctx.Err()
		case <-time.After(approvalInterval):
		}
	}
}

const approvalInterval = 2 * time.Second
