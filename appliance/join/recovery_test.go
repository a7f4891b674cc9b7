package join

import (
	"testing"
	"time"

	"islet/appliance/kube/client/fake"
)

// Servers tell of their keys in turn; each ends with the one that was made last.
func TestAgree(t *testing.T) {
	t.Parallel()
	r := Recovery{Client: fake.New(), Namespace: "islet-system"}
	noon := time.Date(2026, 6, 1, 12, 0, 0, 123456789, time.UTC)
	first, later := RecoveryKey{"age1first", noon}, RecoveryKey{"age1later", noon.Add(time.Hour)}
	for i, c := range []struct{ own, want RecoveryKey }{
		{RecoveryKey{}, RecoveryKey{}},
		{first, first},
		{RecoveryKey{}, first},
		{RecoveryKey{"age1first", noon.Add(time.Minute)}, first}, // it got it later
		{later, later},
		{first, later},
		{RecoveryKey{}, later},
	} {
		got, err := r.Agree(t.Context(), c.own)
		if err != nil || got.Recipient != c.want.Recipient || !got.Since.Equal(c.want.Since) {
			t.Errorf("%d: %+v, want %+v (%v)", i, got, c.want, err)
		}
	}
}
