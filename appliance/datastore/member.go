package datastore

// Member is a member of the site's etcd cluster.
type Member struct {
	ID      string `json:"id"`      // hexadecimal
	Name    string `json:"name"`    // of its node; empty until it has started for the first time
	Peer    string `json:"peer"`    // URL for the other members
	Client  string `json:"client"`  // URL for clients; empty until it has started
	Learner bool   `json:"learner"` // it has no vote yet
}

// MemberStatus is what a member says of itself.
type MemberStatus struct {
	Member
	Leader   bool     `json:"leader"`
	Version  string   `json:"version,omitempty"`
	Revision int64    `json:"revision"`
	Applied  uint64   `json:"applied"` // index of the last raft entry that it has applied
	Bytes    int64    `json:"bytes"`   // of its database file
	InUse    int64    `json:"inUse"`   // of those; the rest is free pages
	Alarms   []string `json:"alarms,omitempty"`
	Error    string   `json:"error,omitempty"` // why it does not answer
}

// Promotion says what became of the members without a vote.
type Promotion struct {
	Voters   int      `json:"voters"` // now
	Promoted []string `json:"promoted,omitempty"`
	Waiting  string   `json:"waiting,omitempty"` // why there still are learners; empty when there are none
}

// Addition is a member that was added, and with what it starts.
type Addition struct {
	Member         Member `json:"member"`
	InitialCluster string `json:"initialCluster"` // as etcd's initial-cluster takes it
}

// Digest stands for everything in a datastore at one revision: two are equal only if every key has the same value.
type Digest struct {
	Revision int64  `json:"revision"`
	Keys     int64  `json:"keys"`
	Hash     string `json:"hash"` // hexadecimal SHA-256
}
