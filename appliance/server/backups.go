package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"islet/appliance/api"
	"islet/appliance/backup"
	"islet/appliance/component"
	"islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/join"
	"islet/appliance/layout"
)

const (
	backupsName     = "backups"
	backupsInterval = 15 * time.Second
	backupsCopyTime = 10 * time.Minute // for all copies of one pass
	backupRetry     = time.Minute      // also between a start and the first backup: it is a busy time
)

// backups makes this server's backups by the schedule, and copies those of other servers.
type backups struct {
	*node
	mu       sync.Mutex
	tried    time.Time         // when one was last to be made
	failed   error             // how that ended
	uncopied map[string]string // of servers that answer: why something is not copied, empty where it is
	told     map[string]bool   // servers of which judge has told that
	kept     []api.Backup
}

// errNoRoom is returned for a copy that would leave too little.
var errNoRoom = errors.New("there is not enough free space")

func (b *backups) unit() component.Unit {
	return component.Unit{New: func() component.Component {
		return component.Task{TaskName: backupsName, Do: func(ctx context.Context, ready func()) error {
			ready()
			for {
				if !b.isAgent() {
					b.makeDue(ctx)
				}
				b.copyAll(ctx)
				if err := b.look(ctx); err != nil && ctx.Err() == nil {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(backupsInterval):
				}
			}
		}}
	}}
}

func (b *backups) shelf(dir string) backup.Shelf {
	c := b.Config.Backup
	return backup.Shelf{Dir: dir, Keep: c.Keep, MaxBytes: int64(c.MaxBytes)}
}

func (b *backups) own() backup.Shelf { return b.shelf(backup.OwnDir(b.layout)) }

// makeDue makes a backup when it is time. A server whose copy of the datastore has no vote makes none: it may be behind.
func (b *backups) makeDue(ctx context.Context) {
	list, err := b.own().List(ctx)
	if err == nil && (b.standby.Load() || !backupDue(list, time.Duration(b.Config.Backup.Interval), time.Now()) || time.Since(b.lastTry()) < backupRetry) {
		return
	}
	if err == nil {
		err = b.makeBackup(ctx)
	}
	switch {
	case ctx.Err() != nil || errors.Is(err, backup.ErrNoKey):
		return
	case errors.Is(err, datastore.ErrBusy):
		err = nil // somebody makes one by hand, or a snapshot is due
	case err != nil:
		b.Log.Warn("backup not made", "error", err)
	}
	b.mu.Lock()
	b.tried, b.failed = time.Now(), err
	b.mu.Unlock()
}

func (b *backups) lastTry() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tried.After(b.started) {
		return b.tried
	}
	return b.started
}

// backupDue says whether the newest verified one is older than the interval. One from the future, which a clock that was
// ahead has left, does not count.
func backupDue(list []backup.Kept, interval time.Duration, now time.Time) bool {
	return !slices.ContainsFunc(list, func(k backup.Kept) bool {
		age := now.Sub(k.Created)
		return k.Verified && age < interval && age > -interval
	})
}

func (b *backups) makeBackup(ctx context.Context) error {
	to, err := backup.SiteRecipient(b.layout)
	if err != nil {
		return err
	}
	snapshot, report, err := b.datastoreParams().TakeAndTell(ctx)
	if err != nil {
		return err
	}
	generation, err := datastore.Generation(b.layout)
	if err != nil {
		return err
	}
	written, err := b.own().Make(ctx, to, backup.Source{
		Manifest: backup.Manifest{
			Site: b.Config.Site.Name, Node: b.derived.NodeName, Address: b.derived.Address, Appliance: b.Build.Version,
			Created:   time.Now().UTC().Truncate(time.Second),
			Datastore: backup.Datastore{Kind: string(b.Config.Datastore.Store), Revision: report.Revision, Rows: report.Rows},
		},
		Config: b.layout.Config(), PKI: b.layout.PKI(), Database: snapshot.Path, Generation: generation,
	})
	if err == nil {
		b.Log.Info("backup made", "path", written.Path, "bytes", written.Bytes, "sha256", written.SHA256)
	}
	return err
}

// copyAll fetches what the site's other servers have made. One that is away is asked again in the next pass.
func (b *backups) copyAll(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, backupsCopyTime)
	defer cancel()
	uncopied := map[string]string{}
	for _, at := range b.knownServers().Node {
		if at.Addr() == b.derived.Address {
			continue
		}
		server, err := b.copyFrom(ctx, at)
		switch {
		case err != nil && server != "":
			uncopied[server] = err.Error()
		case server != "":
			uncopied[server] = ""
		}
	}
	b.mu.Lock()
	b.uncopied = uncopied
	b.mu.Unlock()
}

// copyFrom fetches what one server has made; its name is empty where it does not answer.
func (b *backups) copyFrom(ctx context.Context, at netip.AddrPort) (server string, err error) {
	client, hello, err := b.dial(ctx, at)
	if err != nil {
		return "", err
	}
	defer client.Close()
	if hello.Node == "" || hello.Node != filepath.Base(hello.Node) || hello.Node[0] == '.' {
		return "", fmt.Errorf("%w: it is called %.80q", join.ErrBadRequest, hello.Node)
	}
	offers, err := client.Backups(ctx)
	if err != nil {
		return "", err // it is about to start, or this node was removed, which others tell
	}
	shelf := b.shelf(backup.CopiesDir(b.layout, hello.Node))
	held, err := shelf.List(ctx)
	if err != nil {
		return hello.Node, err
	}
	var sizes []int64
	for _, o := range offers {
		sizes = append(sizes, o.Bytes)
	}
	for _, offer := range offers[:shelf.Wants(sizes)] {
		if slices.ContainsFunc(held, func(k backup.Kept) bool { return k.Name() == offer.Name && k.Verified && k.SHA256 == offer.SHA256 }) {
			continue
		}
		if err := b.fetch(ctx, client, shelf, offer); err != nil {
			return hello.Node, fmt.Errorf("%s: %w", offer.Name, err)
		}
		b.Log.Info("backup copied", "from", hello.Node, "name", offer.Name, "bytes", offer.Bytes)
	}
	return hello.Node, shelf.Prune(ctx)
}

func (b *backups) fetch(ctx context.Context, client *join.Client, shelf backup.Shelf, offer join.Offer) error {
	if err := roomFor(b.layout.Backups(), offer.Bytes, int64(b.Config.Kubelet.Eviction.Disk)); err != nil {
		return err
	}
	content, err := client.Backup(ctx, offer.Name)
	if err != nil {
		return err
	}
	defer content.Close()
	return shelf.Copy(ctx, offer.Name, offer.SHA256, io.LimitReader(content, offer.Bytes))
}

// roomFor refuses what would leave less than that: below it pods are evicted.
func roomFor(dir string, bytes, leave int64) error {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return fmt.Errorf("free space of %s: %w", dir, err)
	}
	if free := int64(s.Bavail) * s.Bsize; free-bytes < leave {
		return fmt.Errorf("%w: %d MiB are free, and %d MiB must stay so", errNoRoom, free>>20, leave>>20)
	}
	return nil
}

// look takes note of all backups here.
func (b *backups) look(ctx context.Context) error {
	kept, err := Backups(ctx, b.layout, b.derived.NodeName)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.kept = kept
	b.mu.Unlock()
	return nil
}

func (b *backups) snapshot() []api.Backup {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept
}

// Backups lists what a node has made and copied, by server and the newest first.
func Backups(ctx context.Context, l layout.Layout, node string) ([]api.Backup, error) {
	dirs := map[string]string{node: backup.OwnDir(l)}
	copied, err := os.ReadDir(filepath.Dir(backup.CopiesDir(l, node)))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range copied {
		if e.Name() != node {
			dirs[e.Name()] = backup.CopiesDir(l, e.Name())
		}
	}
	var out []api.Backup
	for of, dir := range dirs {
		list, err := backup.Shelf{Dir: dir}.List(ctx)
		if err != nil {
			return nil, err
		}
		for _, k := range list {
			out = append(out, api.Backup{Of: of, Path: k.Path, Created: k.Created, Bytes: k.Bytes, SHA256: k.SHA256, Verified: k.Verified, Problem: k.Problem})
		}
	}
	slices.SortFunc(out, func(a, b api.Backup) int { return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Of, b.Of)) })
	return out, nil
}

// judge reports what an operator has to see to.
func (b *backups) judge(now time.Time, reports []api.Report) {
	b.mu.Lock()
	failed, uncopied := b.failed, b.uncopied
	b.mu.Unlock()
	for server := range b.told { // also of those that are gone since
		b.set(health.BackupNotCopied, "the newest backup of "+server, uncopied[server] != "", uncopied[server])
	}
	b.told = map[string]bool{}
	for server, why := range uncopied {
		if why != "" {
			b.told[server] = true
			b.set(health.BackupNotCopied, "the newest backup of "+server, true, why)
		}
	}
	if b.isAgent() || b.standby.Load() {
		return
	}
	_, since, err := backup.KeySince(b.layout)
	if err != nil { // without a key nothing is to be made
		b.set(health.BackupOverdue, "this site", false, "")
		return
	}
	newest := b.newestOwn()
	interval := time.Duration(b.Config.Backup.Interval)
	late, detail := newest.Created, "the newest is of "+newest.Created.Format(time.RFC3339)
	if newest.Path == "" {
		late, detail = since, "there is none"
	}
	if failed != nil {
		detail += ": " + failed.Error()
	}
	b.set(health.BackupOverdue, "this site", failed != nil || now.Sub(late) > 2*interval, detail)
	alone := newest.Path != "" && len(reports) > 0 && !slices.ContainsFunc(reports, func(r api.Report) bool { return holds(r.Status, newest) })
	b.set(health.BackupNotCopied, "the newest backup of this server", alone, filepath.Base(newest.Path))
}

// newestOwn is the newest verified one that this server has made.
func (b *backups) newestOwn() api.Backup {
	for _, k := range b.snapshot() {
		if k.Of == b.derived.NodeName && k.Verified {
			return k
		}
	}
	return api.Backup{}
}

func holds(s api.Status, wanted api.Backup) bool {
	return slices.ContainsFunc(s.Backups, func(k api.Backup) bool { return k.Verified && k.SHA256 == wanted.SHA256 })
}

// Backups implements join.Site.
func (s *site) Backups(ctx context.Context, c join.Caller) ([]join.Offer, error) {
	if _, err := s.members.Get(ctx, c); err != nil {
		return nil, err
	}
	list, err := backup.Shelf{Dir: backup.OwnDir(s.layout)}.List(ctx)
	var offers []join.Offer
	for _, k := range list {
		if k.Verified {
			offers = append(offers, join.Offer{Name: k.Name(), Bytes: k.Bytes, SHA256: k.SHA256})
		}
	}
	return offers, err
}

// Backup implements join.Site.
func (s *site) Backup(ctx context.Context, c join.Caller, name string) (io.ReadSeekCloser, error) {
	offers, err := s.Backups(ctx, c)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(offers, func(o join.Offer) bool { return o.Name == name }) {
		return nil, fmt.Errorf("%w: %.80q", join.ErrNoBackup, name)
	}
	return os.Open(filepath.Join(backup.OwnDir(s.layout), name))
}

// agreeOnKey makes the recovery key that was made last on any server that of all.
func (s *site) agreeOnKey(ctx context.Context) error {
	if !s.several() {
		return nil
	}
	var own join.RecoveryKey
	recipient, since, err := backup.KeySince(s.layout)
	switch {
	case err == nil:
		own = join.RecoveryKey{Recipient: recipient.String(), Since: since}
	case !errors.Is(err, backup.ErrNoKey):
		return err
	}
	agreed, err := s.recovery.Agree(ctx, own)
	if err != nil || agreed.Recipient == own.Recipient {
		return err
	}
	if recipient, err = backup.ParseRecipient(agreed.Recipient); err != nil {
		return err
	}
	s.Log.Info("backups are sealed for another recovery key from now on", "recipient", agreed.Recipient)
	return backup.AdoptRecipient(s.layout, recipient, agreed.Since)
}
