package etcd

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"

	"islet/appliance/datastore"
)

func TestDefragment(t *testing.T) {
	t.Parallel()
	m := newMember(t, "a")
	m.start(t)
	client := m.connect(t)
	fill(t, client)
	if _, err := client.Compact(t.Context(), all(t, client).Header.Revision); err != nil {
		t.Fatal(err)
	}
	before := status(t, m.client, "a")
	tool[struct{}](t, "defrag", "--endpoints", m.client)
	if after := status(t, m.client, "a"); after.Bytes >= before.Bytes {
		t.Errorf("%d bytes, before %d", after.Bytes, before.Bytes)
	}
	if _, err := try[struct{}](t, "defrag", "--endpoints", m.client+","+m.client); err == nil {
		t.Error("two are defragmented at once")
	}
}

// TestDeadEndpoint checks that nothing waits for a member that is not there.
func TestDeadEndpoint(t *testing.T) {
	t.Parallel()
	dead, file := freeURL(t, "http"), filepath.Join(t.TempDir(), "snapshot.db")
	for _, args := range [][]string{{"snapshot", file}, {"defrag"}, {"status"}, {"digest"}} {
		t.Run(args[0], func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			if _, err := try[any](t, append(args, "--endpoints", dead)...); err == nil || time.Since(began) > 4*time.Second {
				t.Errorf("%v after %v", err, time.Since(began))
			}
		})
	}
	t.Cleanup(func() {
		if left, _ := filepath.Glob(file + "*"); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	})
}

func TestDisarm(t *testing.T) {
	t.Parallel()
	m := newMember(t, "a")
	m.start(t)
	client := m.connect(t)
	raise := func(kind etcdserverpb.AlarmType) {
		t.Helper()
		_, err := etcdserverpb.NewMaintenanceClient(client.ActiveConnection()).Alarm(t.Context(), &etcdserverpb.AlarmRequest{
			Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: all(t, client).Header.MemberId, Alarm: kind,
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	raise(etcdserverpb.AlarmType_NOSPACE)
	if alarms := status(t, m.client, "a").Alarms; strings.Join(alarms, " ") != "NOSPACE" {
		t.Errorf("raised: %v", alarms)
	}
	tool[struct{}](t, "disarm", "--endpoints", m.client)
	if alarms := status(t, m.client, "a").Alarms; len(alarms) > 0 {
		t.Errorf("taken back: %v", alarms)
	}
	if _, err := client.Put(t.Context(), "k", "v"); err != nil {
		t.Error(err)
	}
	raise(etcdserverpb.AlarmType_CORRUPT)
	list := tool[[]datastore.MemberStatus](t, "status", "--endpoints", m.client)
	if len(list) != 1 || strings.Join(list[0].Alarms, " ") != "CORRUPT" {
		t.Errorf("%+v", list)
	}
}
