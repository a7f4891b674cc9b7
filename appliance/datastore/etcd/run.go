// Package etcd is the adapter to etcd: what is done to a cluster as its client, and to the files of a
// member that is not running. It is linked into the store engine only: the daemon runs it as a child
// process and never opens the database itself.
package etcd

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"islet/appliance/datastore"
)

var verbs = map[string]verb{
	"check":         onPath(Check),
	"check-file":    onPath(CheckFile),
	"digest-file":   onPath(DigestFile),
	"digest-sqlite": onDatabase(DigestSQLite),
	"restore":       runRestore,
	"convert":       runConvert,
	"members":       onCluster((*cluster).memberList),
	"status":        onCluster((*cluster).status),
	"promote":       onCluster((*cluster).promote),
	"digest":        onCluster((*cluster).digest),
	"defrag":        onCluster((*cluster).defragment),
	"disarm":        onCluster((*cluster).disarm),
	"snapshot":      runSnapshot,
	"add":           onSeat((*cluster).add),
	"remove":        onSeat((*cluster).remove),
	"seat":          onSeat((*cluster).moveTo),
}

// Run is the etcd-tool program. On files, while nothing else uses them:
//
//	check DIR                                            a datastore.Report of a data directory
//	check-file FILE                                      the same of a snapshot
//	digest-file DIR                                      its datastore.Digest
//	digest-sqlite FILE                                   that of what kine would serve from FILE
//	restore --snapshot FILE --data-dir DIR [--bump N]    makes a data directory; a datastore.Report
//	convert --database FILE --data-dir DIR               the same of kine's database; a datastore.Digest
//
// Both that make one also need --name and --peer, the first member of the new cluster. On a cluster,
// with --endpoints URL,URL [--cacert FILE --cert FILE --key FILE]:
//
//	members                      []datastore.Member
//	status                       []datastore.MemberStatus
//	add --name NAME --peer URL   datastore.Addition
//	remove --name NAME           removes it; or --peer URL
//	seat --name NAME --peer URL  has the others find it there; datastore.Member
//	promote                      datastore.Promotion
//	digest                       datastore.Digest
//	disarm                       takes back the alarms for lack of space
//	defrag                       gives the free pages of the one endpoint back
//	snapshot FILE                of the one endpoint; a datastore.Report
//
// Those that check fail with datastore.ErrDamaged when what they look at is not sound.
func Run(ctx context.Context, args []string, stdout io.Writer) error {
	usage := "usage: etcd-tool " + strings.Join(slices.Sorted(maps.Keys(verbs)), "|")
	if len(args) == 0 || verbs[args[0]] == nil {
		return errors.New(usage)
	}
	result, err := verbs[args[0]](ctx, args[1:])
	if err != nil {
		return err
	}
	return json.NewEncoder(stdout).Encode(result)
}

func runSnapshot(ctx context.Context, args []string) (any, error) {
	c, flags := clusterFlags()
	operands, err := parse(flags, args, 1)
	if err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c.snapshot(ctx, operands[0])
}

func runRestore(_ context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	s := seatFlags(flags)
	snapshot := flags.String("snapshot", "", "file that etcd's maintenance API has streamed")
	dir := flags.String("data-dir", "", "data directory to make")
	bump := flags.Int64("bump", 0, "how many revisions to leave out after the newest in the snapshot")
	if _, err := parse(flags, args, 0); err != nil {
		return nil, err
	}
	if err := required(flags, "snapshot", "data-dir", "name", "peer"); err != nil {
		return nil, err
	}
	if *bump < 0 {
		return nil, errors.New("--bump: revisions only go up")
	}
	return Restore(*snapshot, *dir, s.name, s.peer, *bump)
}

func runConvert(ctx context.Context, args []string) (any, error) {
	flags := flag.NewFlagSet("", flag.ContinueOnError)
	s := seatFlags(flags)
	database := flags.String("database", "", "SQLite file of kine")
	dir := flags.String("data-dir", "", "data directory to make")
	if _, err := parse(flags, args, 0); err != nil {
		return nil, err
	}
	if err := required(flags, "database", "data-dir", "name", "peer"); err != nil {
		return nil, err
	}
	return Convert(ctx, *database, *dir, s.name, s.peer)
}

// damaged returns datastore.ErrDamaged with what is wrong.
func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", datastore.ErrDamaged, fmt.Sprintf(format, args...))
}
