package cli

import (
	"strings"
	"testing"

	"islet/appliance/audit"
)

// The worst finding counts, and a log that could not be compared with its heads is never simply well.
func TestJudgeAudit(t *testing.T) {
	t.Parallel()
	with := func(kinds ...audit.Kind) (v auditVerified) {
		for _, k := range kinds {
			v.Report.Findings = append(v.Report.Findings, audit.Finding{Kind: k, Chain: "node1/0a", Text: "found"})
		}
		return v
	}
	blind := auditVerified{Incomplete: "connection refused"}
	for name, c := range map[string]struct {
		list []auditVerified
		want Code
		says string
	}{
		"nothing":                   {nil, CodeOK, ""},
		"all is well":               {[]auditVerified{with()}, CodeOK, ""},
		"the worst of several":      {[]auditVerified{with(audit.KindSignature, audit.KindAltered)}, CodeAuditAltered, "altered: found node1/0a"},
		"a chain that is gone":      {[]auditVerified{with(audit.KindMissing)}, CodeAuditCut, "missing: found"},
		"heads that cannot be read": {[]auditVerified{with(), blind}, CodeWarnings, "connection refused"},
		"a finding all the same":    {[]auditVerified{blind, with(audit.KindGap)}, CodeAuditGap, "gap: found"},
	} {
		err := judgeAudit(c.list)
		if got := CodeOf(err); got != c.want || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %d %v, want %d %q", name, got, err, c.want, c.says)
		}
	}
}
