package etcd

import (
	"context"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

const defragTimeout = 2 * time.Minute

// defragment gives the free pages of the one endpoint back. Writes to it stand still meanwhile.
func (c *cluster) defragment(ctx context.Context) (struct{}, error) {
	endpoint, err := c.only()
	if err != nil {
		return struct{}{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, defragTimeout)
	defer cancel()
	return struct{}{}, c.with(c.endpoints, func(client *clientv3.Client) error {
		_, err := client.Defragment(ctx, endpoint)
		return err
	})
}

// disarm takes back the alarms for lack of space, so that the cluster takes writes again.
func (c *cluster) disarm(ctx context.Context) (struct{}, error) {
	members, err := c.members(ctx)
	if err != nil {
		return struct{}{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return struct{}{}, c.with(c.voters(members), func(client *clientv3.Client) error {
		raised, err := client.AlarmList(ctx)
		if err != nil {
			return err
		}
		for _, alarm := range raised.Alarms {
			if alarm.Alarm != etcdserverpb.AlarmType_NOSPACE {
				continue
			}
			if _, err := client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(alarm)); err != nil {
				return err
			}
		}
		return nil
	})
}
