package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	"github.com/k3s-io/kine/pkg/drivers/sqlite"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

// options open the database. WAL with synchronous=FULL makes every acknowledged write survive a
// power cut (LESSONS 20); an immediate transaction lock and a long busy timeout keep a writer from
// failing with SQLITE_BUSY, which ends the API server in a post-start hook. The start-up VACUUM is
// off: it rewrites the whole file, and free pages are reused anyway.
const options = "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(30000)" +
	"&_txlock=immediate&_kine_disable_startup_vacuum=1"

// The values that kine's own command uses, and the etcd version whose API it emulates.
const (
	compactInterval  = 5 * time.Minute
	compactTimeout   = 5 * time.Second
	compactMinRetain = 1000
	compactBatchSize = 1000
	pollBatchSize    = 500
	// notifyInterval is how often every watcher without news is told the revision. The API server has a watcher for each
	// of its 110 resources and asks by itself when a read has to be current; at 5 s an idle server spent a sixth of its
	// processor time on that.
	notifyInterval  = time.Minute
	emulatedEtcd    = "3.6.11"
	maxRequestBytes = 2 * 1024 * 1024
	stopTimeout     = 2 * time.Second
)

// Serve serves the etcd API on a unix socket of mode 0600 until ctx is cancelled.
func Serve(ctx context.Context, database, socket string) (err error) {
	if err := predecessor(ctx, database); err != nil {
		return err
	}
	var running sync.WaitGroup
	backendCtx, stopBackend := context.WithCancel(context.WithoutCancel(ctx))
	defer running.Wait()
	defer stopBackend()
	_, backend, err := sqlite.New(backendCtx, &running, &drivers.Config{
		DataSourceName:       database + options,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{MaxIdle: 4, MaxOpen: 16},
		CompactInterval:      compactInterval,
		CompactTimeout:       compactTimeout,
		CompactMinRetain:     compactMinRetain,
		CompactBatchSize:     compactBatchSize,
		PollBatchSize:        pollBatchSize,
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", database, err)
	}
	if err := backend.Start(backendCtx); err != nil {
		return fmt.Errorf("start on %s: %w", database, err)
	}
	listener, err := listen(ctx, socket)
	if err != nil {
		return err
	}
	srv := grpc.NewServer(
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second}),
		grpc.MaxRecvMsgSize(maxRequestBytes),
		grpc.MaxSendMsgSize(1<<31-1),
	)
	server.New(backend, "unix", notifyInterval, emulatedEtcd).Register(srv)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve on %s: %w", socket, err)
	case <-ctx.Done():
	}
	timer := time.AfterFunc(stopTimeout, srv.Stop)
	defer timer.Stop()
	srv.GracefulStop()
	return nil
}

// listen replaces a socket file that a killed process left behind.
func listen(ctx context.Context, socket string) (net.Listener, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	return listener, os.Chmod(socket, 0o600)
}
