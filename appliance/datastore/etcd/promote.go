package etcd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"islet/appliance/datastore"
)

// readyShare is how much of the leader's log a member must have before it gets a vote. Etcd itself refuses below this.
const readyShare = 0.9

// candidates are the members without a vote.
type candidates struct {
	ready []datastore.MemberStatus // they have caught up
	late  []string                 // why the others have not
}

// promote gives members that have caught up a vote, if that ends with an odd number of voters: an even
// number tolerates no more losses than the odd one below it and is lost more easily. All that are
// needed must be ready before the first of them is promoted.
func (c *cluster) promote(ctx context.Context) (datastore.Promotion, error) {
	var done datastore.Promotion
	statuses, err := c.status(ctx)
	if err != nil {
		return done, err
	}
	leader, voters, without, err := ranks(statuses)
	if err != nil {
		return done, err
	}
	done.Voters = voters
	chosen := judge(leader, without)
	for range due(voters, len(chosen.ready)) {
		m := chosen.ready[0]
		chosen.ready = chosen.ready[1:]
		err := c.promoteOne(ctx, leader, m)
		if errors.Is(err, rpctypes.ErrMemberLearnerNotReady) {
			chosen.late = append(chosen.late, m.Name+" is not up to date, says the leader")
			break
		}
		if err != nil {
			return done, err
		}
		done.Promoted = append(done.Promoted, m.Name)
		done.Voters++
	}
	done.Waiting = chosen.waiting(done.Voters)
	return done, nil
}

// ranks tells the leader, counts the voters and lists those without a vote.
func ranks(statuses []datastore.MemberStatus) (leader datastore.MemberStatus, voters int, without []datastore.MemberStatus, err error) {
	for _, s := range statuses {
		if s.Learner {
			without = append(without, s)
			continue
		}
		voters++
		if s.Leader {
			leader = s
		}
	}
	if leader.ID == "" {
		err = errors.New("the datastore has no leader that answers")
	}
	return leader, voters, without, err
}

func judge(leader datastore.MemberStatus, without []datastore.MemberStatus) candidates {
	var c candidates
	for _, s := range without {
		switch {
		case s.Name == "":
			c.late = append(c.late, s.Peer+" has not started yet")
		case s.Error != "":
			c.late = append(c.late, fmt.Sprintf("%s does not answer: %s", s.Name, s.Error))
		case float64(s.Applied) < readyShare*float64(leader.Applied):
			c.late = append(c.late, s.Name+" has not caught up yet")
		default:
			c.ready = append(c.ready, s)
		}
	}
	return c
}

// due says how many of those that are ready get a vote: as many as make the number of voters odd.
func due(voters, ready int) int {
	total := voters + ready
	if total%2 == 0 {
		total--
	}
	return max(0, total-voters)
}

// promoteOne tries for a moment: the leader learns from answers that are under way how far a member is.
func (c *cluster) promoteOne(ctx context.Context, leader, m datastore.MemberStatus) error {
	id, err := strconv.ParseUint(m.ID, 16, 64)
	if err != nil {
		return err
	}
	err = c.change(ctx, []string{leader.Client}, rpctypes.ErrMemberLearnerNotReady, func(ctx context.Context, client *clientv3.Client) error {
		_, err := client.MemberPromote(ctx, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("promote %s: %w", m.Name, err)
	}
	return nil
}

// waiting says why there still are members without a vote; empty when there are none.
func (c candidates) waiting(voters int) string {
	reasons := c.late
	for _, s := range c.ready {
		why := fmt.Sprintf("%d voters would tolerate no more losses than %d, one more server is needed", voters+1, voters)
		if voters == 1 {
			why = "two voters would tolerate no loss, a third server is needed"
		}
		reasons = append(reasons, fmt.Sprintf("%s has no vote yet: %s", s.Name, why))
	}
	return strings.Join(reasons, "; ")
}
