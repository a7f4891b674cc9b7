package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"islet/appliance/api"
	"islet/appliance/pki"
)

func TestCertificates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 6, 1, 12, 0, 0, 0, time.Local)
	entry := func(name string, days int, ca bool) pki.Entry {
		return pki.Entry{Name: name, DaysLeft: days, NotAfter: now.AddDate(0, 0, days), UsedBy: "the " + name, CA: ca}
	}
	node := func(name string, received time.Time, entries ...pki.Entry) api.Report {
		return api.Report{Received: received, Status: api.Status{Node: api.Node{Name: name}, Certificates: entries}}
	}
	reports := []api.Report{
		node("press1", now, entry("node-ca", 3650, true), entry("kubelet", 300, false)),
		node("press2", now.Add(-3*time.Hour), entry("node-ca", 3650, true), entry("kubelet", 20, false)),
	}
	for within, want := range map[int][]string{
		-1: {"NODE CERTIFICATE DAYS LEFT UNTIL USED BY", "press2 kubelet 20 2026-06-21 the kubelet as of 3h0m0s ago",
			"press1 kubelet 300 2027-03-28 the kubelet", "(site) node-ca 3650 2036-05-29 the node-ca"},
		20: {"NODE CERTIFICATE DAYS LEFT UNTIL USED BY", "press2 kubelet 20 2026-06-21 the kubelet as of 3h0m0s ago"},
		19: {"NODE CERTIFICATE DAYS LEFT UNTIL USED BY"},
	} {
		var out bytes.Buffer
		if err := printCertificates(&out, certificatesOf(reports, within, within >= 0), now); err != nil {
			t.Fatal(err)
		}
		if got := fields(out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("within %d: got\n%s\nwant\n%s", within, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}
