package etcd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"islet/appliance/datastore"
)

func (c *cluster) memberList(ctx context.Context) ([]datastore.Member, error) {
	members, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]datastore.Member, len(members))
	for i, m := range members {
		list[i] = memberOf(m)
	}
	return list, nil
}

// members returns the members that the cluster agrees on.
func (c *cluster) members(ctx context.Context) ([]*etcdserverpb.Member, error) {
	return c.ask(clientv3.WithRequireLeader(ctx))
}

// known returns the same, or what one of them remembers while there is no quorum.
func (c *cluster) known(ctx context.Context) ([]*etcdserverpb.Member, error) {
	members, err := c.members(ctx)
	if err == nil || ctx.Err() != nil {
		return members, err
	}
	return c.ask(ctx, clientv3.WithSerializable())
}

// ask asks all endpoints at once for the members and takes the first answer: some may be dead, and those without a vote
// refuse.
func (c *cluster) ask(ctx context.Context, opts ...clientv3.OpOption) (members []*etcdserverpb.Member, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	type answer struct {
		members []*etcdserverpb.Member
		err     error
	}
	answers := make(chan answer, len(c.endpoints))
	for _, endpoint := range c.endpoints {
		go func() {
			members, err := c.membersOf(ctx, endpoint, opts...)
			answers <- answer{members, err}
		}()
	}
	for range c.endpoints {
		switch a := <-answers; {
		case a.err == nil:
			members = a.members
			cancel()
		case err == nil:
			err = a.err
		default:
			err = fmt.Errorf("%w; %w", err, a.err)
		}
	}
	if members == nil {
		return nil, err
	}
	slices.SortFunc(members, func(a, b *etcdserverpb.Member) int {
		return strings.Compare(a.Name+" "+a.PeerURLs[0], b.Name+" "+b.PeerURLs[0])
	})
	return members, nil
}

func (c *cluster) membersOf(ctx context.Context, endpoint string, opts ...clientv3.OpOption) ([]*etcdserverpb.Member, error) {
	var members []*etcdserverpb.Member
	err := c.with([]string{endpoint}, func(client *clientv3.Client) error {
		response, err := client.MemberList(ctx, opts...)
		if err == nil {
			members = response.Members
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("ask %s for the members: %w", endpoint, err)
	}
	return members, nil
}
