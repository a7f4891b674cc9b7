package join

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"islet/appliance/kube/client/fake"
)

func rotations() Rotations {
	return Rotations{Client: fake.New(), Namespace: "islet-system"}
}

func successors() []Successor {
	return []Successor{{Name: "node-ca", Old: []byte("old\n"), New: []byte("new\n"), Cross: []byte("cross\n"), Key: []byte("sealed")}}
}

func TestRotationSteps(t *testing.T) {
	t.Parallel()
	all, ctx := rotations(), t.Context()
	if last, err := all.Last(ctx); err != nil || last.Step != "" || last.Unfinished() {
		t.Fatalf("before any: %+v (%v)", last, err)
	}
	if _, err := all.Start(ctx, successors(), 0); err != nil {
		t.Fatal(err)
	}
	if _, err := all.Start(ctx, successors(), 0); !errors.Is(err, ErrRotating) {
		t.Errorf("two at once: %v", err)
	}
	if r, err := all.Take(ctx, StepFinish); err != nil || r.Step != StepIssue { // somebody who is late, or ahead
		t.Errorf("another step was taken: %s (%v)", r.Step, err)
	}
	for _, want := range []Step{StepTrust, StepFinish, StepDone} {
		before, err := all.Last(ctx)
		if err != nil || !before.Unfinished() || len(before.Authorities[0].Key) == 0 {
			t.Fatalf("%+v (%v)", before, err)
		}
		if r, err := all.Take(ctx, before.Step); err != nil || r.Step != want || !r.Taken.IsZero() {
			t.Errorf("after %s: %+v (%v)", before.Step, r, err)
		}
	}
	last, err := all.Last(ctx)
	if err != nil || last.Unfinished() || len(last.Authorities[0].Key) > 0 {
		t.Errorf("at the end: %+v (%v)", last, err)
	}
	if _, err := all.Start(ctx, successors(), 0); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

func TestRotationOverlaps(t *testing.T) {
	t.Parallel()
	all, ctx := rotations(), t.Context()
	if _, err := all.Start(ctx, successors(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if r, err := all.Take(ctx, StepIssue); err != nil || r.Step != StepTrust {
		t.Fatalf("%s (%v)", r.Step, err)
	}
	first, err := all.Take(ctx, StepTrust)
	if err != nil || first.Step != StepTrust || first.Taken.IsZero() {
		t.Fatalf("%+v (%v)", first, err)
	}
	if again, err := all.Take(ctx, StepTrust); err != nil || again.Step != StepTrust || !again.Taken.Equal(first.Taken) {
		t.Errorf("the wait began anew: %+v (%v)", again, err)
	}
}

func TestRotationTurns(t *testing.T) {
	t.Parallel()
	all, ctx := rotations(), t.Context()
	there := func(string) bool { return false }
	if _, err := all.Start(ctx, successors(), 0); err != nil {
		t.Fatal(err)
	}
	if mine, err := all.Turn(ctx, "node1", there); err != nil || mine {
		t.Errorf("a turn before its step: %t (%v)", mine, err)
	}
	if _, err := all.Take(ctx, StepIssue); err != nil {
		t.Fatal(err)
	}
	turn := func(server string, free func(string) bool, want bool) {
		t.Helper()
		if mine, err := all.Turn(ctx, server, free); err != nil || mine != want {
			t.Errorf("%s: %t (%v)", server, mine, err)
		}
	}
	turn("node1", there, true)
	turn("node1", there, true) // after a crash
	turn("node2", there, false)
	if err := all.EndTurn(ctx, "node2"); err != nil {
		t.Fatal(err)
	}
	turn("node2", there, false)
	if err := all.EndTurn(ctx, "node1"); err != nil {
		t.Fatal(err)
	}
	turn("node2", there, true)
	turn("node3", func(server string) bool { return server == "node2" }, true) // node2 was removed meanwhile
}

func TestRotationCertificates(t *testing.T) {
	t.Parallel()
	r := Rotation{Authorities: successors()}
	current := map[string][]byte{"node-ca": []byte("old\n"), "site-ca": []byte("site\n")}
	for step, want := range map[Step][2]string{
		StepIssue: {"new\nold\n", "cross\n"}, StepTrust: {"new\n", "cross\n"}, StepFinish: {"new\n", ""}, StepDone: {"new\n", ""},
	} {
		got := r.Certificates(step, current)
		if string(got["node-ca"]) != want[0] || string(got["node-ca.cross"]) != want[1] || !bytes.Equal(got["site-ca"], current["site-ca"]) {
			t.Errorf("%s: %q", step, got)
		}
	}
}
