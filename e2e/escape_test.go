package e2e

import "testing"

// nothingLeft proves by the kernel's and the switch's counters that nothing ever tried to leave the lab, and then that they
// would have told. The log of each part says how many packets found no route in it.
func nothingLeft(t *testing.T, p *platform) {
	escapes, err := p.lab.Escapes()
	if err != nil {
		t.Fatal(err)
	}
	if escapes.Total() != 0 {
		t.Errorf("something tried to leave: %+v", escapes)
	}
	if err := p.blocked(t.Context(), p.samplePod(t), "http://192.0.2.1/"); err != nil {
		t.Fatal(err)
	}
	after, err := p.lab.Escapes()
	if err != nil {
		t.Fatal(err)
	}
	if after.Total() == escapes.Total() {
		t.Errorf("an attempt of a pod to leave was not counted: %+v", after)
	}
}
