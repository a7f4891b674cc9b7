package api

import (
	"strings"
	"testing"
)

func TestOtherNodes(t *testing.T) {
	t.Parallel()
	c, _ := serve(t, &node{})
	other := c.At("press 2/3")
	part, err := other.Log(t.Context(), "kubelet", 7, "")
	if got := strings.Join(part.Lines, " "); err != nil || got != "press 2/3 kubelet 7 " || part.Mark != "9" {
		t.Errorf("%q, %v", got, err)
	}
	if part, err = other.Log(t.Context(), "kubelet", 7, "1:2"); err != nil || part.Lines[3] != "1:2" {
		t.Errorf("%+v, %v", part, err)
	}
	if h, err := other.History(t.Context()); err != nil || h.Recent[0].CPU != 0.25 {
		t.Errorf("%+v, %v", h, err)
	}
	if e, err := other.Events(t.Context()); err != nil || e[0].Component != "press 2/3" {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := c.At("nobody").History(t.Context()); err == nil || !strings.Contains(err.Error(), "does not know that one") {
		t.Error(err)
	}
	if h, err := c.History(t.Context()); err != nil || h.Recent[0].CPU != 0.5 {
		t.Errorf("the own one is another's: %+v, %v", h, err)
	}
}

// What anybody may look at is this node's alone.
func TestViewTellsOfNoOther(t *testing.T) {
	t.Parallel()
	c := view(t, &node{})
	if _, err := c.At("press2").History(t.Context()); err == nil {
		t.Error("anybody may ask other nodes")
	}
}
