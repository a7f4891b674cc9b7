package sqlite

import (
	"context"
	"fmt"
	"sync"

	"github.com/k3s-io/kine/pkg/drivers/sqlite"

	"islet/appliance/datastore/kineserver"
)

// options open the database. WAL with synchronous=FULL makes every acknowledged write survive a
// power cut (LESSONS 20); an immediate transaction lock and a long busy timeout keep a writer from
// failing with SQLITE_BUSY, which ends the API server in a post-start hook. The start-up VACUUM is
// off: it rewrites the whole file, and free pages are reused anyway.
const options = "?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(30000)" +
	"&_txlock=immediate&_kine_disable_startup_vacuum=1"

// Serve serves the etcd API on a unix socket of mode 0600 until ctx is cancelled.
func Serve(ctx context.Context, database, socket string) (err error) {
	if err := predecessor(ctx, database); err != nil {
		return err
	}
	var running sync.WaitGroup
	backendCtx, stopBackend := context.WithCancel(context.WithoutCancel(ctx))
	defer running.Wait()
	defer stopBackend()
	_, backend, err := sqlite.New(backendCtx, &running, kineserver.Config(database+options))
	if err != nil {
		return fmt.Errorf("open %s: %w", database, err)
	}
	if err := backend.Start(backendCtx); err != nil {
		return fmt.Errorf("start on %s: %w", database, err)
	}
	return kineserver.Serve(ctx, backend, socket)
}
