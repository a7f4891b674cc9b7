package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"islet/appliance/atomicfile"
	"islet/appliance/config"
	"islet/appliance/fetch"
	"islet/appliance/host"
	"islet/appliance/install"
	"islet/appliance/join"
	"islet/appliance/layout"
	"islet/appliance/pki"
	"islet/appliance/progress"
	"islet/appliance/reset"
	"islet/appliance/setup"
	"islet/bundle"
)

// joining is the note of a machine that was let in, and fetches.
type joining struct {
	Role    config.Role       `json:"role"`
	Node    string            `json:"node"`
	Address netip.Addr        `json:"address"`
	Labels  map[string]string `json:"labels,omitempty"`
	Taints  []config.Taint    `json:"taints,omitempty"`
	Own     digest.Digest     `json:"own"`    // of what the machine says of itself
	Config  []byte            `json:"config"` // the answer file that it will have

	config config.Config // what Config says
	etcDir string
}

func newJoining(a join.Application, own config.Config, answers []byte) (joining, error) {
	raw, err := config.Marshal(own, false)
	return joining{Role: a.Role, Node: a.Node, Address: a.Address, Labels: a.Labels, Taints: a.Taints, Own: digest.FromBytes(raw), Config: answers}, err
}

// noteJoining comes last of being let in: from then on a join goes on, and does not begin.
func noteJoining(a join.Application, own config.Config, o install.Options) error {
	j, err := newJoining(a, own, o.Config)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(j, "", "  ")
	if err != nil {
		return err
	}
	path := o.Target.Layout.Joining()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, append(data, '\n'), 0o600)
}

// readJoining returns an error that wraps fs.ErrNotExist where no machine is joining.
func readJoining(l layout.Layout) (joining, error) {
	j := joining{etcDir: l.EtcDir}
	data, err := os.ReadFile(l.Joining())
	if err != nil {
		return j, err
	}
	if err := json.Unmarshal(data, &j); err != nil {
		return j, fmt.Errorf("decode %s: %w", l.Joining(), err)
	}
	j.config, _, err = config.Decode(bytes.NewReader(j.Config))
	return j, err
}

func (j joining) target() reset.Target { return reset.NewTarget(j.config, j.etcDir) }

// forgetJoining is called when the answer file is there.
func forgetJoining(l layout.Layout) error {
	err := os.Remove(l.Joining())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, os.RemoveAll(l.Fetched()))
}

// admitted is a machine that an earlier run has brought into the site; the zero value is one that is not.
type admitted struct {
	config config.Config
	client *join.Client // as a node
}

func (in admitted) admitted() bool { return in.client != nil }

func (in admitted) close() {
	if in.client != nil {
		in.client.Close()
	}
}

// offer asks the site what it runs, as what this machine is to it.
func (in admitted) offer(stranger *join.Client, a join.Application) func(context.Context) (join.Carried, error) {
	if in.client != nil {
		return in.client.Carried
	}
	return func(ctx context.Context) (join.Carried, error) { return stranger.Offer(ctx, a) }
}

// resume finds out whether an earlier run was let in as what this one would be, and whether that still counts. The token
// may have expired since. What does not go on is undone.
func (f *joinFlags) resume(ctx context.Context, token join.Token, a join.Application, own config.Config, o *install.Options) (admitted, error) {
	l := layout.Layout{EtcDir: filepath.Dir(o.ConfigPath)}
	j, err := readJoining(l)
	if errors.Is(err, fs.ErrNotExist) {
		return admitted{}, nil
	}
	if err != nil {
		return admitted{}, Advise(err, "`appliance reset` leaves this machine as it was")
	}
	in, err := j.goOn(ctx, token, a, own, f.plan)
	if err != nil || in.admitted() {
		o.Config, o.Target = j.Config, j.target()
		return in, err
	}
	if f.plan {
		return admitted{}, nil
	}
	f.note("this machine was about to join in another way, or the site does not know it any more: that is undone first")
	return admitted{}, undoTo(ctx, j.target())
}

// goOn returns who this machine is to the site already; the zero value if nobody, or somebody else.
func (j joining) goOn(ctx context.Context, token join.Token, a join.Application, own config.Config, plan bool) (admitted, error) {
	now, err := newJoining(a, own, j.Config)
	if err != nil {
		return admitted{}, err
	}
	l := j.target().Layout
	before := j
	before.config, before.etcDir = config.Config{}, ""
	store, pair, ok := identityIn(l)
	if !ok || !same(before, now) || !token.Pin.Matches(store.Authority(pki.NodeCA).Cert) {
		return admitted{}, nil
	}
	client, _, err := join.DialNode(ctx, token.Servers, pair, store.Authority(pki.NodeCA).Trusted)
	if err != nil {
		return admitted{}, err
	}
	servers, err := client.Servers(ctx)
	if err == nil && !plan {
		err = join.WriteServers(l.Servers(), servers)
	}
	if err != nil {
		client.Close()
	}
	if errors.Is(err, join.ErrRemoved) || errors.Is(err, join.ErrNotMember) {
		return admitted{}, nil
	}
	return admitted{j.config, client}, err
}

// identityIn opens what the site gave this machine. It is got anew where it is not whole.
func identityIn(l layout.Layout) (*pki.Store, tls.Certificate, bool) {
	store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
	if err != nil {
		return nil, tls.Certificate{}, false
	}
	pair, err := store.Pair(join.NodeLeaf)
	return store, pair, err == nil
}

// same compares two notes as they are written.
func same(a, b joining) bool {
	one, errOne := json.Marshal(a)
	two, errTwo := json.Marshal(b)
	return errOne == nil && errTwo == nil && bytes.Equal(one, two)
}

// complete sees to what this file lacks of what the site runs: it plans to fetch that. The signature and the room for it are
// checked now.
func (f *joinFlags) complete(ctx context.Context, env *Env, hello join.Hello, offer func(context.Context) (join.Carried, error), own netip.Addr, o *install.Options) error {
	here, err := carriedHere(env)
	if err != nil || here.String() == hello.Bundle {
		return err
	}
	carried, err := offer(ctx)
	if err != nil {
		return err
	}
	if err := checkExecutable(env, carried); err != nil {
		return adviseCopy(err, hello)
	}
	accepted, err := env.Trust()
	if err != nil {
		return err
	}
	whole, err := bundle.OpenTail("of "+hello.Node, carried.Tail, accepted)
	if err != nil {
		return err
	}
	l := o.Target.Layout
	o.Source = filepath.Join(l.Fetched(), "appliance")
	blobs := int64(0)
	for _, b := range whole.Index().Blobs {
		blobs += b.Size
	}
	o.Fetch = &install.Fetch{
		Detail: "fetch what the site runs from its servers, " + progress.Bytes(blobs) + " at most",
		Do:     func(ctx context.Context) error { return f.fetch(ctx, env, l, own, carried.Tail) },
	}
	return checkRoom(env.Executable, o, whole)
}

// carriedHere is the digest of the bundle in this file; empty where there is none, or its end is missing.
func carriedHere(env *Env) (digest.Digest, error) {
	b, err := env.OpenBundle("")
	if errors.Is(err, bundle.ErrForeign) || errors.Is(err, bundle.ErrTruncated) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return b.Digest(), b.Close()
}

func checkExecutable(env *Env, carried join.Carried) error {
	executable, err := bundle.OpenExecutable(env.Executable)
	if err != nil {
		return err
	}
	defer executable.Close()
	own, err := digest.FromReader(executable)
	if err != nil {
		return err
	}
	return join.CheckExecutable(carried, own)
}

// checkRoom makes sure that the file fits where it is put together, with the blobs that are on their way, and where it is
// moved to.
func checkRoom(executable string, o *install.Options, whole *bundle.Reader) error {
	self, err := os.Stat(executable)
	if err != nil {
		return err
	}
	size := self.Size() + whole.Size()
	l := o.Target.Layout
	here, err := statOf(l.Fetched())
	if err != nil {
		return err
	}
	there, err := statOf(filepath.Dir(o.Machine.Executable))
	if err != nil {
		return err
	}
	wants := []struct {
		volume
		bytes int64
	}{{here, size + fetch.Room(whole.Index(), maxSources) - allocated(o.Source)}}
	if here.device != there.device {
		wants = append(wants, struct {
			volume
			bytes int64
		}{there, size})
	}
	for _, want := range wants {
		if want.free < want.bytes {
			return Exit(CodePreflight, Advise(fmt.Errorf("%s is free in %s, and %s are needed to fetch what the site runs", progress.Bytes(want.free), want.dir, progress.Bytes(want.bytes)),
				"free space there, or bring the whole file"))
		}
	}
	return nil
}

// maxSources is as many servers as a site has.
const maxSources = 5

// volume is a directory, or where it will be, and what is free there.
type volume struct {
	dir    string
	free   int64
	device uint64
}

func statOf(dir string) (volume, error) {
	p := volume{dir: host.Existing(dir)}
	var space unix.Statfs_t
	var stat unix.Stat_t
	if err := errors.Join(unix.Statfs(p.dir, &space), unix.Stat(p.dir, &stat)); err != nil {
		return p, fmt.Errorf("look at the filesystem of %s: %w", p.dir, err)
	}
	p.free, p.device = int64(space.Bavail)*space.Bsize, stat.Dev
	return p, nil
}

// allocated is what a file with holes takes; 0 if it is not there.
func allocated(path string) int64 {
	var stat unix.Stat_t
	if unix.Stat(path, &stat) != nil {
		return 0
	}
	return stat.Blocks * 512
}

// fetch puts together in the state directory what this machine will run.
func (f *joinFlags) fetch(ctx context.Context, env *Env, l layout.Layout, own netip.Addr, tail []byte) error {
	stores, err := openStores(l, own)
	if err != nil {
		return err
	}
	var sources []fetch.Source
	for _, s := range stores {
		defer s.Close()
		sources = append(sources, s)
	}
	draft, err := openDraft(env, filepath.Join(l.Fetched(), "appliance"), tail)
	if err != nil {
		return &unfetched{err, fetch.Result{}}
	}
	defer func() { _ = draft.Close() }() // what counts is synced
	from := fmt.Sprintf("%d servers", len(sources))
	if len(sources) == 1 {
		from = sources[0].Name()
	}
	o := fetch.Options{
		Draft: draft, Parts: filepath.Join(l.Fetched(), "parts"), Sources: sources,
		Progress: func(done, total int64) {
			f.driver.Tell(setup.Progress{What: "fetch from " + from, Done: done, Total: total})
		},
		Warn: func(source string, why error) { f.note("warning: %s is not asked any more: %v", source, why) },
	}
	for _, path := range []string{env.Executable, install.ThisMachine().Executable} {
		if b, err := env.OpenBundle(path); err == nil {
			defer b.Close()
			o.Local = append(o.Local, b)
		}
	}
	result, err := fetch.Run(ctx, o)
	if err == nil {
		err = draft.Finish(ctx, nil)
	}
	f.fetched = &result
	if err != nil {
		return &unfetched{err, result}
	}
	return nil
}

// openStores are the site's servers; own is one of them by now, if it is to be a server.
func openStores(l layout.Layout, own netip.Addr) ([]join.Store, error) {
	store, err := pki.OpenJoined(l.PKI(), time.Time{}, nil)
	if err != nil {
		return nil, err
	}
	pair, err := store.Pair(join.NodeLeaf)
	if err != nil {
		return nil, err
	}
	servers, err := join.ReadServers(l.Servers())
	others := slices.DeleteFunc(servers.Node, func(at netip.AddrPort) bool { return at.Addr() == own })
	return join.Stores(others, pair, store.Authority(pki.NodeCA).Trusted), err
}

func openDraft(env *Env, path string, tail []byte) (*bundle.Draft, error) {
	accepted, err := env.Trust()
	if err != nil {
		return nil, err
	}
	executable, err := bundle.OpenExecutable(env.Executable)
	if err != nil {
		return nil, err
	}
	defer executable.Close()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return bundle.OpenDraft(path, executable, tail, accepted)
}

// unfetched is why the machine has not everything yet. It stays what it is: one that was let in.
type unfetched struct {
	error
	result fetch.Result
}

// Unwrap returns the reason.
func (u *unfetched) Unwrap() error { return u.error }

func (u *unfetched) explain(d setup.Driver) error {
	d.Tell(setup.Note(fmt.Sprintf("This machine has been let in, and has %s of %s. Run the same command again to go on; `appliance reset` leaves the machine as it was.",
		progress.Bytes(min(u.result.Kept+u.result.Fetched, u.result.Bytes)), progress.Bytes(u.result.Bytes))))
	if errors.Is(u.error, bundle.ErrAltered) {
		return Advise(u.error, "on the servers named: appliance bundle verify "+install.ThisMachine().Executable)
	}
	return Advise(u.error, "see that the servers run and can be reached on port 9443, and run the same command again")
}
