package etcd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"islet/appliance/datastore"
)

// ErrLearner is returned while there already are as many members without a vote as etcd allows. Its
// text crosses the border between the store engine and the daemon.
var ErrLearner = errors.New("another server is still getting its copy of the datastore")

// seat is a member's place in a cluster, as its node is configured.
type seat struct{ name, peer string }

func seatFlags(flags *flag.FlagSet) *seat {
	s := &seat{}
	flags.StringVar(&s.name, "name", "", "name of the member's node")
	flags.StringVar(&s.peer, "peer", "", "its URL for the other members")
	return s
}

// taken says whether a member has this name or this URL.
func (s seat) taken(m *etcdserverpb.Member) bool {
	return s.name != "" && m.Name == s.name || slices.Contains(m.PeerURLs, s.peer)
}

// takenBy returns those of the members that have this name or this URL.
func (s seat) takenBy(members []*etcdserverpb.Member) []*etcdserverpb.Member {
	return slices.DeleteFunc(slices.Clone(members), func(m *etcdserverpb.Member) bool { return !s.taken(m) })
}

func memberOf(m *etcdserverpb.Member) datastore.Member {
	member := datastore.Member{ID: strconv.FormatUint(m.ID, 16), Name: m.Name, Peer: m.PeerURLs[0], Learner: m.IsLearner}
	if len(m.ClientURLs) > 0 {
		member.Client = m.ClientURLs[0]
	}
	return member
}

// add makes room for a member that has nothing yet, as one without a vote. What was there under its name
// or its URL is removed: the machine was installed anew and has lost what it had. Only a member that
// was added before and has never started stays, so that this may be repeated.
func (c *cluster) add(ctx context.Context, s seat) (datastore.Addition, error) {
	if s.name == "" || s.peer == "" {
		return datastore.Addition{}, errors.New("--name and --peer are needed")
	}
	members, err := c.members(ctx)
	if err != nil {
		return datastore.Addition{}, err
	}
	there := false
	for _, m := range s.takenBy(members) {
		if m.Name == "" && m.IsLearner {
			there = true
			continue
		}
		if err := c.evict(ctx, members, m); err != nil {
			return datastore.Addition{}, err
		}
	}
	if !there {
		if err := c.addLearner(ctx, members, s); err != nil {
			return datastore.Addition{}, err
		}
	}
	if members, err = c.members(ctx); err != nil {
		return datastore.Addition{}, err
	}
	return s.addition(members)
}

func (c *cluster) addLearner(ctx context.Context, members []*etcdserverpb.Member, s seat) error {
	err := c.change(ctx, c.voters(members), rpctypes.ErrUnhealthy, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberAddAsLearner(ctx, []string{s.peer})
		return err
	})
	if errors.Is(err, rpctypes.ErrTooManyLearners) {
		return fmt.Errorf("%w: %w", ErrLearner, err)
	}
	if err != nil {
		return fmt.Errorf("add %s: %w", s.name, err)
	}
	return nil
}

// addition lists what the new member starts with. Etcd compares the URLs and their number with those of
// the members, so even one that has not started must be in it, under a name that nobody has.
func (s seat) addition(members []*etcdserverpb.Member) (datastore.Addition, error) {
	at := slices.IndexFunc(members, func(m *etcdserverpb.Member) bool { return slices.Contains(m.PeerURLs, s.peer) })
	if at < 0 {
		return datastore.Addition{}, fmt.Errorf("%s was removed while it was added", s.name)
	}
	var entries []string
	for i, m := range members {
		name := m.Name
		switch {
		case i == at:
			name = s.name
		case name == "":
			name = "member-" + strconv.FormatUint(m.ID, 16)
		}
		for _, url := range m.PeerURLs {
			entries = append(entries, name+"="+url)
		}
	}
	member := memberOf(members[at])
	return datastore.Addition{Member: member, InitialCluster: strings.Join(entries, ",")}, nil
}

// remove removes the members that have this name or this URL. That there is none is no error.
func (c *cluster) remove(ctx context.Context, s seat) (struct{}, error) {
	if s.name == "" && s.peer == "" {
		return struct{}{}, errors.New("--name or --peer is needed")
	}
	members, err := c.members(ctx)
	if err != nil {
		return struct{}{}, err
	}
	for _, m := range s.takenBy(members) {
		if err := c.evict(ctx, members, m); err != nil {
			return struct{}{}, err
		}
	}
	return struct{}{}, nil
}

func (c *cluster) evict(ctx context.Context, members []*etcdserverpb.Member, m *etcdserverpb.Member) error {
	err := c.change(ctx, c.voters(members), rpctypes.ErrUnhealthy, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberRemove(ctx, m.ID)
		return err
	})
	if err != nil && !errors.Is(err, rpctypes.ErrMemberNotFound) {
		return fmt.Errorf("remove %s at %s: %w", m.Name, m.PeerURLs[0], err)
	}
	return nil
}

// moveTo has the other members find the one of that name at another URL. One that is there already stays as it is.
func (c *cluster) moveTo(ctx context.Context, s seat) (datastore.Member, error) {
	if s.name == "" || s.peer == "" {
		return datastore.Member{}, errors.New("--name and --peer are needed")
	}
	members, err := c.members(ctx)
	if err != nil {
		return datastore.Member{}, err
	}
	at := slices.IndexFunc(members, func(m *etcdserverpb.Member) bool { return m.Name == s.name })
	if at < 0 {
		return datastore.Member{}, fmt.Errorf("%s is not a member", s.name)
	}
	m := members[at]
	if !slices.Equal(m.PeerURLs, []string{s.peer}) {
		err := c.change(ctx, c.voters(members), rpctypes.ErrUnhealthy, func(ctx context.Context, client *clientv3.Client) error {
			_, err := client.MemberUpdate(ctx, m.ID, []string{s.peer})
			return err
		})
		if err != nil {
			return datastore.Member{}, fmt.Errorf("change the URL of %s from %s to %s: %w", s.name, m.PeerURLs[0], s.peer, err)
		}
		m.PeerURLs = []string{s.peer}
	}
	return memberOf(m), nil
}
