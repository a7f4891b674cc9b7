// Package kineserver is what kine does whatever database is behind it. It is linked into the store engine only.
package kineserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"time"

	"github.com/k3s-io/kine/pkg/drivers"
	"github.com/k3s-io/kine/pkg/drivers/generic"
	"github.com/k3s-io/kine/pkg/server"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

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

// Config is that of a driver for this database.
func Config(source string) *drivers.Config {
	return &drivers.Config{
		DataSourceName:       source,
		ConnectionPoolConfig: generic.ConnectionPoolConfig{MaxIdle: 4, MaxOpen: 16},
		CompactInterval:      compactInterval,
		CompactTimeout:       compactTimeout,
		CompactMinRetain:     compactMinRetain,
		CompactBatchSize:     compactBatchSize,
		PollBatchSize:        pollBatchSize,
	}
}

// Serve serves the etcd API on a unix socket of mode 0600 until ctx is cancelled. The backend was started.
func Serve(ctx context.Context, backend server.Backend, socket string) error {
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
