package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// errCrash is how the server ends when it was told to crash.
var errCrash = errors.New("crashed as told")

// serve runs the server until ctx is cancelled, then says "not ready" for config.drain, so that nobody sends new
// requests here, and finishes those that run. listening, which may be nil, is told the address.
func serve(ctx context.Context, c config, log *slog.Logger, listening chan<- net.Addr) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.listen)
	if err != nil {
		return err
	}
	a := newApp(c)
	server := &http.Server{Handler: a.handler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	log.Info("listening", "address", listener.Addr().String(), "version", c.version)
	if listening != nil {
		listening <- listener.Addr()
	}
	select {
	case err := <-ended:
		return err
	case <-crashTimer(c.crashAfter):
		return errors.Join(errCrash, server.Close())
	case <-a.crash:
		return errors.Join(errCrash, server.Close())
	case <-ctx.Done():
	}
	log.Info("draining", "for", c.drain.String())
	a.draining.Store(true)
	<-time.After(c.drain) // the time that load balancers take to notice; there is nothing to wait for
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.grace)
	defer cancel()
	err = server.Shutdown(last)
	<-ended //nolint:errcheck // always http.ErrServerClosed after Shutdown
	log.Info("stopped")
	return err
}

// crashTimer fires after d, or never for 0.
func crashTimer(d time.Duration) <-chan time.Time {
	if d <= 0 {
		return nil
	}
	return time.After(d)
}
