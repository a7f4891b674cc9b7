// Package serve is the registry engine: a process of its own on every server that serves what the bundle carries from where
// it lies, takes pushes, and shares them with the registries of the other servers.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"islet/appliance/registry/content"
)

const (
	stopTimeout   = 5 * time.Second
	sweepInterval = 6 * time.Hour
)

// Run is the registry's main: it serves until ctx is cancelled. args is the command line without the program's name; the
// log goes to out.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("registry", flag.ContinueOnError)
	flags.SetOutput(out)
	path := flags.String("config", "", "the `file` that the daemon writes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	settings, err := ReadSettings(*path)
	if err != nil {
		return err
	}
	return Serve(ctx, settings, slog.New(slog.NewTextHandler(out, nil)), func() {})
}

// Serve runs a registry until ctx is cancelled. listening is called when it takes connections.
func Serve(ctx context.Context, s Settings, log *slog.Logger, listening func()) (err error) {
	carried, err := openCarried(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, carried.close()) }()
	store, err := content.Open(s.Dir)
	if err != nil {
		return fmt.Errorf("open the pushed images: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	l := &library{carried: carried, store: store, others: newReplicas(ctx, s, store, log)}
	config, err := s.serverTLS()
	if err != nil {
		return err
	}
	srv := &http.Server{
		Handler: newHandler(l, s, log), TLSConfig: config, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 64 << 10, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug), // whoever knocks at random
	}
	err = l.serve(ctx, srv, s, log, listening)
	stop()
	l.others.working.Wait()
	return err
}

// serve listens on all addresses, and works beside it on what is to be shared or swept.
func (l *library) serve(ctx context.Context, srv *http.Server, s Settings, log *slog.Logger, listening func()) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var listeners []net.Listener
	for _, address := range s.Listen {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address.String())
		if err != nil {
			for _, open := range listeners {
				open.Close()
			}
			return err
		}
		listeners = append(listeners, listener)
	}
	var (
		running sync.WaitGroup
		failed  = make(chan error, len(listeners))
	)
	for _, listener := range listeners {
		running.Go(func() { failed <- srv.ServeTLS(listener, "", "") })
	}
	running.Go(func() { l.others.run(ctx) })
	running.Go(func() { l.sweepNowAndThen(ctx, log) })
	listening()
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stop()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if srv.Shutdown(ending) != nil {
		_ = srv.Close() // what is still being sent is cut off
	}
	running.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		err = nil
	}
	return err
}

// sweepNowAndThen removes what failed pushes and deletions left behind.
func (l *library) sweepNowAndThen(ctx context.Context, log *slog.Logger) {
	tick := time.NewTicker(sweepInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		swept, err := l.store.Sweep(content.Grace)
		if err != nil {
			log.Error("blobs not swept", "error", err)
			continue
		}
		log.Info("blobs removed", "blobs", swept.Blobs, "bytes", swept.Bytes)
	}
}
