package etcd

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"islet/appliance/datastore"
)

// status asks every member at its own URL, all at once, and returns them by name. One that does not
// answer says why; it fails only when not even the members are known.
func (c *cluster) status(ctx context.Context) ([]datastore.MemberStatus, error) {
	members, err := c.known(ctx)
	if err != nil {
		return nil, err
	}
	statuses, troubles := make([]datastore.MemberStatus, len(members)), make([][]string, len(members))
	var asked sync.WaitGroup
	for i, m := range members {
		asked.Go(func() { statuses[i], troubles[i] = c.statusOf(ctx, m) })
	}
	asked.Wait()
	for i, m := range members {
		statuses[i].Alarms = alarmsOf(m.ID, troubles)
	}
	return statuses, nil
}

// statusOf also returns what the member knows of troubles in the cluster, in etcd's words.
func (c *cluster) statusOf(ctx context.Context, m *etcdserverpb.Member) (datastore.MemberStatus, []string) {
	status := datastore.MemberStatus{Member: memberOf(m)}
	if status.Client == "" {
		status.Error = "it has not started yet"
		return status, nil
	}
	var said *clientv3.StatusResponse
	err := c.with([]string{status.Client}, func(client *clientv3.Client) (err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		said, err = client.Status(ctx, status.Client)
		return err
	})
	if err != nil {
		status.Error = err.Error()
		return status, nil
	}
	status.Leader, status.Version = said.Leader == m.ID, said.Version
	status.Revision, status.Applied = said.Header.Revision, said.RaftAppliedIndex
	status.Bytes, status.InUse = said.DbSize, said.DbSizeInUse
	return status, said.Errors
}

// alarmsOf returns the alarms of one member: each member knows those of all, and tells them in the text
// format of the message. The call that lists alarms needs a quorum.
func alarmsOf(id uint64, troubles [][]string) []string {
	var alarms []string
	seen := map[string]bool{}
	for _, said := range troubles {
		for _, trouble := range said {
			var alarm string
			n, _ := fmt.Sscanf(trouble, "memberID:"+strconv.FormatUint(id, 10)+" alarm:%s", &alarm) // others are no alarms of it
			if n == 1 && !seen[alarm] {
				seen[alarm] = true
				alarms = append(alarms, alarm)
			}
		}
	}
	return alarms
}
