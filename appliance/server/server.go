// Package server is the node daemon: it stages the engines, makes the certificates, and runs every
// component of a server under one supervisor until it is told to stop.
package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gopkg.in/natefinch/lumberjack.v2"

	"islet/appliance/address"
	"islet/appliance/api"
	"islet/appliance/balancer"
	"islet/appliance/cgroup"
	"islet/appliance/component"
	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/engine"
	"islet/appliance/footprint"
	"islet/appliance/health"
	"islet/appliance/host"
	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/layout"
	"islet/appliance/metric"
	"islet/appliance/pki"
	"islet/appliance/runtime"
	"islet/appliance/version"
	"islet/appliance/vip"
	"islet/bundle"
)

// Options is what the command line gives the daemon.
type Options struct {
	Config config.Config
	EtcDir string
	Bundle *bundle.Reader // stays open while the daemon runs
	// BundlePath is the file that Bundle was opened from; /proc/self/exe is the running executable.
	BundlePath string
	Build      version.Info
	Log        *slog.Logger
}

// ErrStartAnew is returned by Run when the daemon was asked to start again with its answer file as it is then.
var ErrStartAnew = errors.New("the daemon starts anew")

// ErrRunning is returned when another daemon runs on this machine.
var ErrRunning = errors.New("another appliance server is running on this machine")

const (
	// cgroupName is the node's own part of the control group tree.
	cgroupName   = "appliance"
	sweepTimeout = 10 * time.Second
)

// node is a server while it runs.
type node struct {
	Options
	layout     layout.Layout
	derived    config.Derived
	facts      host.Facts
	groups     *cgroup.Tree
	pki        *pki.Store
	engines    engine.Result
	images     *runtime.Images
	addons     addonSet
	problems   *health.Tracker
	supervisor *component.Supervisor
	started    time.Time
	anew       chan struct{} // closed when the daemon is to start again
	anewOnce   sync.Once
	vips       *vip.Keeper    // on servers with a virtual address
	rotations  join.Rotations // on servers
	issuing    sync.Mutex     // held while certificates are issued
	rotation   rotation
	backups    *backups
	pods       client.Client // of Kubernetes
	metrics    metric.Recorder
	database   *datastore.External // where the datastore is one of the site's own

	// On every node but a site's only server.
	balancer  *balancer.Balancer
	refreshed atomic.Pointer[error] // how the membership was when it was last looked at
	standby   atomic.Bool           // a server with a copy of the datastore and no vote

	mu      sync.Mutex
	logs    map[string]*lumberjack.Logger
	reports map[string]api.Report // on servers: of the other nodes, by name
	servers join.Servers          // of the site, this one included
	change  address.Change        // of this node's address, the last one
	seen    map[string]bool       // on servers: agents that have found this one at its new address, while it moves
}

// Run runs the node until ctx is cancelled, then stops it in order. Pods are not stopped: they go on
// and the next daemon finds them.
func Run(ctx context.Context, o Options) (err error) {
	n := &node{Options: o, layout: o.Config.Layout(o.EtcDir), started: time.Now(), anew: make(chan struct{})}
	unlock, err := n.claim()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if err := n.resumeMove(); err != nil {
		return err
	}
	if err := n.prepare(ctx); err != nil {
		return err
	}
	n.problems = health.NewTracker(health.Catalogue())
	defer n.problems.Close()
	n.backups = &backups{node: n}
	units, err := n.units()
	if err != nil {
		return err
	}
	n.supervisor, err = component.NewSupervisor(o.Log, units...)
	if err != nil {
		return err
	}
	footprint.AfterStart()
	return n.run(ctx)
}

// run runs the supervisor, and beside it what answers while it starts and stops. A daemon that nobody
// can talk to is of no use: when the local API fails, it stops.
func (n *node) run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	beside, stopBeside := context.WithCancel(context.WithoutCancel(ctx))
	var (
		running sync.WaitGroup
		served  error
	)
	running.Go(func() {
		if served = api.Serve(beside, n.layout.APISocket(), n, n.Log); served != nil {
			stop()
		}
	})
	running.Go(func() { n.serveView(beside) })
	running.Go(func() { n.watchHealth(beside) })
	if !n.isAgent() {
		running.Go(func() { n.watchRoutes(beside, n.pods) })
	}
	running.Go(func() { n.measure(beside) })
	running.Go(func() { n.notify(beside) })
	running.Go(func() {
		select {
		case <-n.anew:
			stop()
		case <-beside.Done():
		}
	})
	err := n.supervisor.Run(ctx)
	stopBeside()
	running.Wait()
	select {
	case <-n.anew:
		served = errors.Join(served, ErrStartAnew)
	default:
	}
	return errors.Join(err, served)
}

// StartAnew implements api.Daemon.
func (n *node) StartAnew() { n.anewOnce.Do(func() { close(n.anew) }) }

func (n *node) makeDirs() error {
	l := n.layout
	private := []string{l.StateDir, l.RunDir, l.PKI(), l.Kubeconfigs(), l.Datastore(), l.Backups(), l.Registry(), l.Journal(), l.Kubelet(), l.Tmp()}
	for _, name := range generatedDirs() {
		private = append(private, filepath.Join(l.Generated(), name))
	}
	for _, dir := range private {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	for _, dir := range []string{l.EtcDir, l.Engines(), l.Logs(), l.PodLogs(), filepath.Join(l.Logs(), "audit"), n.Config.StoragePath()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	// Containers' users must be able to reach their volumes below the state directory.
	for _, dir := range []string{l.StateDir, l.Kubelet()} {
		if err := os.Chmod(dir, 0o711); err != nil {
			return err
		}
	}
	return nil
}

// lock takes the daemon's lock; it is released with the process, however that ends.
func lock(path string) (func() error, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%w (%s is locked)", ErrRunning, path)
	}
	return f.Close, nil
}

// prepare does everything that comes before the first component.
func (n *node) prepare(ctx context.Context) error {
	var err error
	if n.facts, err = host.Gather(ctx); err != nil {
		n.Log.Warn("some facts about this machine are missing", "error", err)
	}
	n.seekMove(ctx)
	if n.derived, err = config.Derive(n.Config, n.facts); err != nil {
		return err
	}
	if n.groups, err = cgroup.Detect(cgroupName); err != nil {
		return err
	}
	if err := n.sweep(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if n.engines, err = engine.Stage(ctx, n.layout, n.Bundle); err != nil {
		return err
	}
	n.Log.Info("engines staged", "files", n.engines.Files, "written", n.engines.Staged, "bytes", n.engines.Bytes, "took", time.Since(begun).Round(time.Millisecond))
	built, err := time.Parse(time.RFC3339, n.Build.Date)
	if err != nil {
		built = time.Time{}
	}
	if err := n.openPKI(built); err != nil {
		return err
	}
	return n.loadBundle(ctx)
}

// openPKI makes or renews a server's certificates. Those of an agent come from a server, once it runs.
func (n *node) openPKI(built time.Time) (err error) {
	if n.isAgent() {
		if err = n.openMembership(built); err == nil {
			n.loadAuthorities()
		}
		return err
	}
	if n.pki, err = pki.Open(n.layout.PKI(), built, nil); err != nil {
		return err
	}
	if _, _, err := n.pki.ServiceAccountKey(); err != nil {
		return err
	}
	secret, err := n.pki.Secret(pki.EncryptionSecret, pki.EncryptionBytes)
	if err != nil {
		return err
	}
	if n.Config.Datastore.Store == config.StoreExternal {
		if n.database, err = Database(n.Config, n.layout, secret); err != nil {
			return err
		}
	}
	if err := n.openServers(); err != nil {
		return err
	}
	n.loadAuthorities()
	_, err = n.ensureCertificates()
	return err
}

// sweep ends what a killed daemon left running: engines, never shims or pods.
func (n *node) sweep(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	for _, name := range engineNames() {
		if err := n.groups.Group(name).Kill(ctx, nil); err != nil {
			return fmt.Errorf("end what the last run left behind: %w", err)
		}
	}
	return nil
}
