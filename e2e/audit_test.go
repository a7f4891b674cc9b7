package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"islet/appliance/audit"
	"islet/appliance/cli"
)

// auditLog looks for what was done by the command line and by plain kubectl, and tampers with an exported file and with the record
// itself. It comes last: the record is spoilt afterwards.
func auditLog(t *testing.T, p *platform) {
	_, _ = p.kubectl(t.Context(), "-n", "press-dev", "create", "configmap", "by-hand", "--as=ann")
	_, _ = p.kubectl(t.Context(), "-n", "press-dev", "delete", "networkpolicy", "islet-nothing", "--as=ann") // refused
	awaitJSON(t, policyLimit, "what was done is written down", p, []string{"audit", "list"}, func(list []audit.Entry) error {
		for _, want := range []func(audit.Entry) bool{
			func(e audit.Entry) bool {
				return strings.HasSuffix(e.Command, ": config sync press-dev press-prod") && e.Object == "press-prod/configsets.islet.dev/environment"
			},
			func(e audit.Entry) bool {
				return e.Verb == "create" && e.Object == "tenants.islet.dev/press" && e.Who == "islet:admin"
			},
			func(e audit.Entry) bool {
				return e.Object == "press-dev/configmaps/by-hand" && e.Detail == "in the name of ann"
			},
			func(e audit.Entry) bool {
				return e.Object == "press-dev/networkpolicies.networking.k8s.io/islet-nothing" && e.Result == 403
			},
		} {
			if !slices.ContainsFunc(list, want) {
				return errors.New("an entry is missing")
			}
		}
		return nil
	})
	p.run(t, "appliance", "audit", "export", "/root/good.audit")
	p.run(t, "appliance", "audit", "verify", "/root/good.audit", "--authority", "/var/lib/appliance/pki/node-ca.crt")
	raw := p.run(t, "cat", "/root/good.audit")
	lines := strings.SplitAfter(raw, "\n")
	for name, c := range map[string]struct {
		text string
		want cli.Code
	}{
		"changed":   {strings.Replace(raw, `"verb":"create"`, `"verb":"update"`, 1), cli.CodeAuditAltered},
		"removed":   {strings.Join(lines[:3], "") + strings.Join(lines[4:], ""), cli.CodeAuditGap},
		"reordered": {strings.Join(lines[:3], "") + lines[4] + lines[3] + strings.Join(lines[5:], ""), cli.CodeAuditGap},
		"cut off":   {strings.Join(lines[:len(lines)-4], ""), cli.CodeAuditCut},
	} {
		if code := p.exitCode(t, "audit", "verify", p.write(t, "/root/bad.audit", c.text)); code != int(c.want) {
			t.Errorf("%s: exit code %d, want %d", name, code, c.want)
		}
	}
	// The record itself: its server has told the datastore how far it had come.
	files := strings.Fields(p.run(t, "sh", "-c", "ls /var/lib/appliance/audit/*.jsonl"))
	type verified struct{ Report audit.Report }
	awaitJSON(t, policyLimit, "the head is published", p, []string{"audit", "verify"}, func(list []verified) error {
		if chains := list[0].Report.Chains; len(chains) != 1 || chains[0].Entries < 20 || chains[0].Signed != chains[0].Entries {
			return fmt.Errorf("%+v", list)
		}
		return nil
	})
	p.run(t, "sed", "-i", "$d", files[len(files)-1])
	if code := p.exitCode(t, "audit", "verify"); code != int(cli.CodeAuditCut) {
		t.Errorf("a record that was cut off: exit code %d", code)
	}
}
