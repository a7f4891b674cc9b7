package cli

import (
	"bytes"
	"strings"
	"testing"

	"islet/appliance/datastore"
)

func TestDatastoreReport(t *testing.T) {
	t.Parallel()
	voter := func(name string, healthy bool) datastore.MemberStatus {
		s := datastore.MemberStatus{Member: datastore.Member{Name: name}}
		if !healthy {
			s.Error = "connection refused"
		}
		return s
	}
	learner := voter("late", true)
	learner.Learner = true
	for name, c := range map[string]struct {
		members []datastore.MemberStatus
		mayFail int
		says    string
	}{
		"one":               {[]datastore.MemberStatus{voter("a", true)}, 0, "1 of 1 voters are healthy: none may fail now"},
		"one and a standby": {[]datastore.MemberStatus{voter("a", true), learner}, 0, "none may fail now"},
		"two":               {[]datastore.MemberStatus{voter("a", true), voter("b", true)}, 0, "none may fail now"},
		"three":             {[]datastore.MemberStatus{voter("a", true), voter("b", true), voter("c", true)}, 1, "any one of them may fail"},
		"three, one lost":   {[]datastore.MemberStatus{voter("a", true), voter("b", true), voter("c", false)}, 0, "2 of 3 voters are healthy: none may fail now"},
		"three, two lost":   {[]datastore.MemberStatus{voter("a", true), voter("b", false), voter("c", false)}, -1, "the site can write nothing until 1 more are back"},
		"five":              {[]datastore.MemberStatus{voter("a", true), voter("b", true), voter("c", true), voter("d", true), voter("e", true)}, 2, "any 2 of them may fail"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := reportOf(c.members)
			var out bytes.Buffer
			if err := printDatastore(&out, r); err != nil {
				t.Fatal(err)
			}
			if r.MayFail != c.mayFail || !strings.Contains(out.String(), c.says) {
				t.Errorf("%d may fail:\n%s", r.MayFail, out.String())
			}
		})
	}
}
