package datastore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// defragmentAt is the size from which free pages are given back, and the share of them that is worth the pause.
	defragmentAt    = 64 << 20
	defragmentShare = 0.5
	// fullShare of the quota is when an operator should know.
	fullShare = 0.8
	// turn is how long each member may defragment itself before it is the next one's turn.
	turn = 10 * time.Minute
)

// ErrAlmostFull is returned while etcd has little space left below its quota.
var ErrAlmostFull = errors.New("the datastore is almost full")

// Members asks etcd for its members and what each says of itself.
func (p Params) Members(ctx context.Context) ([]MemberStatus, error) {
	return tool[[]MemberStatus](ctx, p, p.allMembers(), "status")
}

// RemoveMember takes a server out of the cluster; one that is not in it is no error.
func (p Params) RemoveMember(ctx context.Context, name string) error {
	_, err := tool[struct{}](ctx, p, p.allMembers(), "remove", "--name", name)
	return err
}

// maintain gives free pages back, one member at a time, and takes back an alarm whose cause is gone.
func (m *etcdMember) maintain(ctx context.Context) error {
	if err := m.params.recovered(ctx); err != nil { // etcd may have started anew without this
		return err
	}
	members, err := m.params.Members(ctx)
	if err != nil {
		return err
	}
	own := slices.IndexFunc(members, func(s MemberStatus) bool { return s.Name == m.params.Etcd.NodeName })
	if own < 0 {
		return errors.New("this server is not a member of the datastore")
	}
	if members[own].Learner { // etcd began anew, with a copy of the others'
		return errNoVote
	}
	if members[own].Peer != peerURL(m.params.Etcd.Address) {
		if err := m.params.TakeSeat(ctx); err != nil {
			return err
		}
	}
	if mayDefragment(members, own, time.Now()) {
		m.params.Log.Info("datastore is defragmented", "bytes", members[own].Bytes, "inUse", members[own].InUse)
		if _, err := tool[struct{}](ctx, m.params, thisMember(), "defrag"); err != nil {
			return fmt.Errorf("defragment the datastore: %w", err)
		}
	}
	return m.judge(ctx, members)
}

// mayDefragment says whether it is worth it and this member's turn: writes to it stand still meanwhile, so all others must
// be well.
func mayDefragment(members []MemberStatus, own int, now time.Time) bool {
	s := members[own]
	wasted := float64(s.Bytes-s.InUse) / float64(max(s.Bytes, 1))
	well := !slices.ContainsFunc(members, func(s MemberStatus) bool { return s.Error != "" })
	return well && s.Bytes >= defragmentAt && wasted >= defragmentShare && int(now.Unix()/int64(turn.Seconds()))%len(members) == own
}

// judge takes back the alarm for lack of space once there is some, and tells when it gets scarce.
func (m *etcdMember) judge(ctx context.Context, members []MemberStatus) error {
	var alarms []string
	fullest := int64(0)
	for _, s := range members {
		fullest = max(fullest, s.InUse)
		for _, a := range s.Alarms {
			alarms = append(alarms, s.Name+": "+a)
		}
	}
	scarce := float64(fullest) > fullShare*quotaBytes
	switch {
	case len(alarms) > 0 && !scarce && !strings.Contains(strings.Join(alarms, " "), "CORRUPT"):
		_, err := tool[struct{}](ctx, m.params, thisMember(), "disarm")
		return err
	case len(alarms) > 0:
		return fmt.Errorf("the datastore raises an alarm: %s", strings.Join(alarms, ", "))
	case scarce:
		return fmt.Errorf("%w: %d of %d MiB", ErrAlmostFull, fullest>>20, quotaBytes>>20)
	}
	return nil
}
