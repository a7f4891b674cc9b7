package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// maxFile is the largest body that PUT /files/NAME takes, in bytes.
const maxFile = 1 << 20

// app answers the requests.
type app struct {
	config   config
	started  time.Time
	requests atomic.Int64
	failing  atomic.Int64 // Unix nanoseconds until which it fails
	draining atomic.Bool
	crash    chan struct{}
	crashed  sync.Once
}

func newApp(c config) *app { return &app{config: c, started: time.Now(), crash: make(chan struct{})} }

func (a *app) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", a.home)
	mux.HandleFunc("GET /healthz", a.healthz)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.HandleFunc("GET /slow", a.slow)
	mux.HandleFunc("POST /fail", a.fail)
	mux.HandleFunc("POST /crash", func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		a.crashed.Do(func() { close(a.crash) })
	})
	mux.HandleFunc("GET /files/{name}", a.readFile)
	mux.HandleFunc("PUT /files/{name}", a.writeFile)
	return mux
}

// status is what the home page shows.
type status struct {
	Version     string            `json:"version"`
	Colour      string            `json:"colour"`
	Pod         string            `json:"pod,omitempty"`
	Namespace   string            `json:"namespace,omitempty"`
	Node        string            `json:"node,omitempty"`
	IP          string            `json:"ip,omitempty"`
	Environment map[string]string `json:"environment"`
	Settings    map[string]string `json:"settings,omitempty"`
	Host        string            `json:"host"`
	Client      string            `json:"client"`
	Requests    int64             `json:"requests"`
	Uptime      string            `json:"uptime"`
}

func (a *app) home(w http.ResponseWriter, r *http.Request) {
	count := a.requests.Add(1)
	if a.isFailing() {
		http.Error(w, "failing as told", http.StatusInternalServerError)
		return
	}
	settings, err := readSettings(a.config.settings)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	c := a.config
	s := status{
		Version: c.version, Colour: c.colour, Pod: c.pod, Namespace: c.namespace, Node: c.node, IP: c.ip,
		Environment: c.environment, Settings: settings, Host: r.Host, Client: r.RemoteAddr,
		Requests: count, Uptime: time.Since(a.started).Round(time.Second).String(),
	}
	if r.URL.Query().Get("format") == "json" || strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // fails only when the client has gone
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = page.Execute(w, s) // fails only when the client has gone
}

func (a *app) healthz(w http.ResponseWriter, _ *http.Request) {
	if a.isFailing() {
		http.Error(w, "failing as told", http.StatusInternalServerError)
		return
	}
	fmt.Fprintln(w, "ok")
}

func (a *app) readyz(w http.ResponseWriter, r *http.Request) {
	if a.draining.Load() {
		http.Error(w, "draining", http.StatusServiceUnavailable)
		return
	}
	a.healthz(w, r)
}

func (a *app) isFailing() bool { return time.Now().UnixNano() < a.failing.Load() }

// fail makes the home page and both probes fail for the time given; for=0s ends that.
func (a *app) fail(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(r.URL.Query().Get("for"))
	if err != nil || d < 0 {
		http.Error(w, "say for how long: POST /fail?for=30s", http.StatusBadRequest)
		return
	}
	a.failing.Store(time.Now().Add(d).UnixNano())
	fmt.Fprintf(w, "failing for %s\n", d)
}

// slow answers after the time given, 2 s if none.
func (a *app) slow(w http.ResponseWriter, r *http.Request) {
	d, err := time.ParseDuration(or(r.URL.Query().Get("for"), "2s"))
	if err != nil || d < 0 || d > time.Minute {
		http.Error(w, "say for how long, at most 1m: /slow?for=2s", http.StatusBadRequest)
		return
	}
	select {
	case <-time.After(d):
		fmt.Fprintf(w, "%s answered after %s\n", a.config.version, d)
	case <-r.Context().Done():
	}
}

func (a *app) readFile(w http.ResponseWriter, r *http.Request) {
	a.inData(w, func(root *os.Root) error {
		content, err := root.ReadFile(r.PathValue("name"))
		if err == nil {
			_, err = w.Write(content)
		}
		return err
	})
}

// writeFile answers when the content is on the disk.
func (a *app) writeFile(w http.ResponseWriter, r *http.Request) {
	a.inData(w, func(root *os.Root) (err error) {
		file, err := root.Create(r.PathValue("name"))
		if err != nil {
			return err
		}
		defer func() {
			if closed := file.Close(); err == nil {
				err = closed
			}
		}()
		if _, err := io.Copy(file, http.MaxBytesReader(w, r.Body, maxFile)); err != nil {
			return err
		}
		return file.Sync()
	})
}

// inData runs do with the data directory, which nothing in a file's name can leave.
func (a *app) inData(w http.ResponseWriter, do func(*os.Root) error) {
	if a.config.data == "" {
		http.Error(w, "no data directory; start with --data DIR", http.StatusNotFound)
		return
	}
	root, err := os.OpenRoot(a.config.data)
	if err == nil {
		defer root.Close()
		err = do(root)
	}
	if os.IsNotExist(err) {
		http.Error(w, "no such file", http.StatusNotFound)
	} else if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}
