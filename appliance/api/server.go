package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"islet/appliance/component"
)

// Daemon is what the API answers from.
type Daemon interface {
	Status() Status
	// Site is this node and those that report to it, this one first.
	Site() []Report
	Events() []component.Event
	Restart(name string) error
	Snapshot(ctx context.Context) (path string, err error)
	// Rotate begins to give the site new authorities; it returns once the order is kept where all servers see it.
	Rotate(ctx context.Context, o RotationOrder) error
	// StartAnew makes the daemon stop and start again; it returns before that.
	StartAnew()
}

// failure is the body of an answer that is not 2xx.
type failure struct {
	Error string `json:"error"`
}

// Serve serves the API on a unix socket of mode 0600 until ctx is cancelled.
func Serve(ctx context.Context, socket string, d Daemon, log *slog.Logger) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("serve the local API: %w", err)
	}
	if err := os.Chmod(socket, 0o600); err != nil {
		return errors.Join(err, listener.Close())
	}
	srv := &http.Server{Handler: handler(d), ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(listener) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	err = srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close() // what is still being answered is cut off, and its context ends
	}
	return err
}

func handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Status(), nil) })
	mux.HandleFunc("GET /v1/site", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Site(), nil) })
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Events(), nil) })
	mux.HandleFunc("POST /v1/components/{name}/restart", func(w http.ResponseWriter, r *http.Request) {
		answer(w, struct{}{}, d.Restart(r.PathValue("name")))
	})
	mux.HandleFunc("POST /v1/snapshots", func(w http.ResponseWriter, r *http.Request) {
		path, err := d.Snapshot(r.Context())
		answer(w, map[string]string{"path": path}, err)
	})
	mux.HandleFunc("POST /v1/rotation", func(w http.ResponseWriter, r *http.Request) {
		var order RotationOrder
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&order)
		if err == nil {
			err = d.Rotate(r.Context(), order)
		}
		answer(w, struct{}{}, err)
	})
	mux.HandleFunc("POST /v1/start-anew", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, struct{}{}, nil)
		d.StartAnew()
	})
	return mux
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, component.ErrUnknown):
		w.WriteHeader(http.StatusNotFound)
		body = failure{err.Error()}
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		body = failure{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(body) // the client went away: nothing to do
}
