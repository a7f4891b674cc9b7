package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"islet/appliance/install"
	"islet/appliance/plan"
)

func TestPlansArePrinted(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 5, 17, 9, 30, 0, 0, time.UTC)
	j := plan.Journal{
		ID: "20260517T093000.000Z-join", Kind: plan.Join, State: plan.Failed, Version: "v1", Begun: at, Ended: at.Add(3 * time.Second),
		Steps: []plan.Step{
			{Kind: install.KindIdentity, Object: "site plant", Detail: "be let in", State: plan.Done, Begun: at, Ended: at.Add(2 * time.Second)},
			{Kind: install.KindBundle, Object: "/root/appliance", Detail: "fetch", State: plan.Failed, Begun: at.Add(2 * time.Second), Ended: at.Add(3 * time.Second), Error: "no route"},
			{Kind: install.KindConfig, Object: "/etc/appliance/config.yaml", Detail: "write the answer file", State: plan.Pending},
		},
		Error: "the servers are gone", Advice: []string{"look at the cable"}, Resume: []string{"join"},
	}
	var list, one bytes.Buffer
	if err := printPlans(&list, []plan.Journal{j}); err != nil {
		t.Fatal(err)
	}
	if err := printPlan(&one, j); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"20260517T093000.000Z-join", "failed", "3s", "bundle /root/appliance"} {
		if !strings.Contains(list.String(), want) {
			t.Errorf("no %q in\n%s", want, list.String())
		}
	}
	for _, want := range []string{"site plant: be let in", "no route", "pending", "error: the servers are gone", "next: look at the cable", "appliance join\n"} {
		if !strings.Contains(one.String(), want) {
			t.Errorf("no %q in\n%s", want, one.String())
		}
	}
}

func TestChoosePlan(t *testing.T) {
	t.Parallel()
	all := []plan.Journal{{ID: "2"}, {ID: "1"}}
	for _, c := range []struct {
		plans []plan.Journal
		args  []string
		want  string
	}{{all, nil, "2"}, {all, []string{"1"}, "1"}, {all, []string{"3"}, ""}, {nil, nil, ""}} {
		j, err := choosePlan(c.plans, c.args)
		if j.ID != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q of %d: %q, %v", c.args, len(c.plans), j.ID, err)
		}
	}
}
