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
	"strconv"
	"time"

	"islet/appliance/component"
	"islet/appliance/metric"
	"islet/appliance/paas/survey"
	"islet/appliance/plan"
	"islet/appliance/tail"
)

// Daemon is what the API answers from.
type Daemon interface {
	Status() Status
	// Site is this node and those that report to it, this one first.
	Site() []Report
	Events() []component.Event
	// History is what the machine has used.
	History() metric.History
	// ReadLog is some of a component's log: the last lines, or what came after mark where that is not empty.
	ReadLog(name string, lines int, mark string) (tail.Part, error)
	// Pods asks Kubernetes; it fails while that does not answer.
	Pods(ctx context.Context) ([]Pod, error)
	// Platform asks Kubernetes for tenants, applications and orders. Only a server may know.
	Platform(ctx context.Context) (survey.Survey, error)
	// Plans are the journals of what was done to this machine, the newest first.
	Plans() ([]plan.Journal, error)
	Restart(name string) error
	Snapshot(ctx context.Context) (path string, err error)
	// Rotate begins to give the site new authorities; it returns once the order is kept where all servers see it.
	Rotate(ctx context.Context, o RotationOrder) error
	// Other is another node of the site, or this one; an error says why it cannot be asked.
	Other(name string) (Other, error)
	// StartAnew makes the daemon stop and start again; it returns before that.
	StartAnew()
}

// Other is a node that is asked about itself. Who has got one closes it.
type Other interface {
	Log(ctx context.Context, name string, lines int, mark string) (tail.Part, error)
	History(ctx context.Context) (metric.History, error)
	Events(ctx context.Context) ([]component.Event, error)
	Close()
}

// ErrUnknownNode is returned for a node that this one does not know, and ErrAgent on an agent, which knows of no other.
var (
	ErrUnknownNode = errors.New("this node does not know that one")
	ErrAgent       = errors.New("an agent may ask no other node: do that on a server")
)

// failure is the body of an answer that is not 2xx.
type failure struct {
	Error string `json:"error"`
}

// ErrNoLog is returned for a component that has no log of its own.
var ErrNoLog = errors.New("this component has no log of its own: what it says is in the daemon's, journalctl -u appliance")

// Serve serves the API on a unix socket of mode 0600 until ctx is cancelled.
func Serve(ctx context.Context, socket string, d Daemon, log *slog.Logger) error {
	return listen(ctx, socket, 0o600, handler(d), log)
}

func listen(ctx context.Context, socket string, mode fs.FileMode, h http.Handler, log *slog.Logger) error {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return fmt.Errorf("serve the local API: %w", err)
	}
	if err := os.Chmod(socket, mode); err != nil {
		return errors.Join(err, listener.Close())
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
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

// defaultLines of a log are given where none are asked for.
const defaultLines = 200

func handler(d Daemon) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Status(), nil) })
	mux.HandleFunc("GET /v1/site", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Site(), nil) })
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.Events(), nil) })
	mux.HandleFunc("GET /v1/history", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.History(), nil) })
	mux.HandleFunc("GET /v1/components/{name}/log", func(w http.ResponseWriter, r *http.Request) {
		part, err := d.ReadLog(r.PathValue("name"), linesOf(r), r.FormValue("after"))
		answer(w, part, err)
	})
	mux.HandleFunc("GET /v1/pods", func(w http.ResponseWriter, r *http.Request) {
		pods, err := d.Pods(r.Context())
		answer(w, pods, err)
	})
	mux.HandleFunc("GET /v1/platform", func(w http.ResponseWriter, r *http.Request) {
		seen, err := d.Platform(r.Context())
		answer(w, seen, err)
	})
	handleOthers(mux, d)
	mux.HandleFunc("GET /v1/plans", func(w http.ResponseWriter, _ *http.Request) {
		plans, err := d.Plans()
		answer(w, plans, err)
	})
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

func linesOf(r *http.Request) int {
	lines, err := strconv.Atoi(r.FormValue("lines"))
	if err != nil || lines < 1 {
		return defaultLines
	}
	return lines
}

func answer(w http.ResponseWriter, body any, err error) {
	w.Header().Set("Content-Type", "application/json")
	switch {
	case errors.Is(err, component.ErrUnknown), errors.Is(err, ErrNoLog), errors.Is(err, ErrUnknownNode):
		w.WriteHeader(http.StatusNotFound)
		body = failure{err.Error()}
	case err != nil:
		w.WriteHeader(http.StatusInternalServerError)
		body = failure{err.Error()}
	}
	_ = json.NewEncoder(w).Encode(body) // the client went away: nothing to do
}
