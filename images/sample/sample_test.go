package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func testConfig(t *testing.T, env ...string) config {
	t.Helper()
	c, err := parseConfig(nil, append([]string{"HELLO_VERSION=v1", "POD_NAME=pod-1", "NODE_NAME=node-1", "SECRET=s"}, env...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	c.listen = "127.0.0.1:0"
	return c
}

// ask sends one request to the application and returns status and body.
func ask(t *testing.T, a *app, method, target, body string, header ...string) (int, string) {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	recorder := httptest.NewRecorder()
	a.handler().ServeHTTP(recorder, request)
	return recorder.Code, recorder.Body.String()
}

func TestHomeShowsWhoAnswers(t *testing.T) {
	t.Parallel()
	c := testConfig(t, "HELLO_GREETING=good <morning>")
	c.settings = t.TempDir()
	if err := os.WriteFile(filepath.Join(c.settings, "colour"), []byte("red"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(c.settings, "..data"), 0o700); err != nil { // as the kubelet does
		t.Fatal(err)
	}
	a := newApp(c)
	code, body := ask(t, a, "GET", "/", "")
	for _, want := range []string{"hello v1", "pod-1", "node-1", "HELLO_GREETING", "good &lt;morning&gt;", "colour", "red"} {
		if code != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("status %d, the page lacks %q:\n%s", code, want, body)
		}
	}
	if strings.Contains(body, "SECRET") {
		t.Error("the page shows what is not the application's")
	}
	for name, request := range map[string][]string{"header": {"/", "Accept", "application/json"}, "query": {"/?format=json"}} {
		_, body := ask(t, a, "GET", request[0], "", request[1:]...)
		var got status
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatalf("%s: %v: %s", name, err, body)
		}
		if got.Version != "v1" || got.Pod != "pod-1" || got.Settings["colour"] != "red" || got.Environment["HELLO_GREETING"] != "good <morning>" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestFailOnDemand(t *testing.T) {
	t.Parallel()
	a := newApp(testConfig(t))
	statuses := func() [3]int {
		var got [3]int
		for i, target := range []string{"/", "/healthz", "/readyz"} {
			got[i], _ = ask(t, a, "GET", target, "")
		}
		return got
	}
	steps := []struct {
		target string
		code   int
		then   [3]int
	}{
		{"/fail?for=1h", 200, [3]int{500, 500, 500}},
		{"/fail?for=0s", 200, [3]int{200, 200, 200}},
		{"/fail", 400, [3]int{200, 200, 200}},
		{"/fail?for=-1s", 400, [3]int{200, 200, 200}},
	}
	if got := statuses(); got != [3]int{200, 200, 200} {
		t.Errorf("at the start: %v", got)
	}
	for _, step := range steps {
		code, _ := ask(t, a, "POST", step.target, "")
		if got := statuses(); code != step.code || got != step.then {
			t.Errorf("POST %s: %d, then %v; want %d, %v", step.target, code, got, step.code, step.then)
		}
	}
}

func TestFiles(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	if code, _ := ask(t, newApp(c), "GET", "/files/a", ""); code != http.StatusNotFound {
		t.Errorf("without a data directory: %d", code)
	}
	c.data = t.TempDir()
	a := newApp(c)
	if err := os.WriteFile(filepath.Join(filepath.Dir(c.data), "outside"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		method, target, body string
		code                 int
		want                 string
	}{
		{"GET", "/files/a", "", 404, "no such file"},
		{"PUT", "/files/a", "kept", 200, ""},
		{"GET", "/files/a", "", 200, "kept"},
		{"PUT", "/files/a", "new", 200, ""},
		{"GET", "/files/a", "", 200, "new"},
		{"GET", "/files/..%2Foutside", "", 500, "escapes"},
		{"PUT", "/files/b", strings.Repeat("x", maxFile+1), 500, "too large"},
	}
	for _, step := range steps {
		if code, body := ask(t, a, step.method, step.target, step.body); code != step.code || !strings.Contains(body, step.want) {
			t.Errorf("%s %s: %d %q, want %d %q", step.method, step.target, code, body, step.code, step.want)
		}
	}
}

func TestSlow(t *testing.T) {
	t.Parallel()
	a := newApp(testConfig(t))
	for target, want := range map[string]int{"/slow?for=1ms": 200, "/slow?for=2h": 400, "/slow?for=x": 400} {
		if code, _ := ask(t, a, "GET", target, ""); code != want {
			t.Errorf("%s: %d, want %d", target, code, want)
		}
	}
}

func TestParseConfig(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		args, env []string
		drain     time.Duration
		wantErr   string
	}{
		"default":               {nil, nil, 5 * time.Second, ""},
		"environment":           {nil, []string{"HELLO_DRAIN=7s"}, 7 * time.Second, ""},
		"flag over environment": {[]string{"--drain=1s"}, []string{"HELLO_DRAIN=7s"}, time.Second, ""},
		"bad environment":       {nil, []string{"HELLO_DRAIN=x"}, 5 * time.Second, `HELLO_DRAIN="x"`},
		"bad flag":              {[]string{"--nonsense"}, nil, 5 * time.Second, "nonsense"},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := parseConfig(test.args, test.env, io.Discard)
			if (err == nil) != (test.wantErr == "") || err != nil && !strings.Contains(err.Error(), test.wantErr) {
				t.Errorf("error %v, want %q", err, test.wantErr)
			}
			if err == nil && c.drain != test.drain {
				t.Errorf("drain %s, want %s", c.drain, test.drain)
			}
		})
	}
}

// start serves in the background and returns the base URL, what stops it, and what it returned.
func start(t *testing.T, c config) (string, context.CancelFunc, <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- serve(ctx, c, slog.New(slog.DiscardHandler), listening) }()
	t.Cleanup(cancel)
	return "http://" + (<-listening).String(), cancel, ended
}

func get(t *testing.T, url string) (int, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, errors.Join(err, response.Body.Close())
}

func TestStopLosesNoRequest(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.drain = 300 * time.Millisecond
	url, stop, ended := start(t, c)
	slow := make(chan error, 1)
	go func() {
		code, err := get(t, url+"/slow?for=700ms") // longer than the drain
		if code != http.StatusOK {
			err = errors.Join(err, errors.New(http.StatusText(code)))
		}
		slow <- err
	}()
	for code := 0; code != http.StatusOK; { // the slow request is sent before this answers, or soon after
		code, _ = get(t, url+"/readyz")
	}
	stop()
	for code := 0; code != http.StatusServiceUnavailable; {
		var err error
		if code, err = get(t, url+"/readyz"); err != nil {
			t.Fatalf("the door closed before the pod was not ready: %v", err)
		}
	}
	if code, err := get(t, url+"/"); code != http.StatusOK {
		t.Errorf("a late request got %d, %v; want an answer while draining", code, err)
	}
	if err := <-slow; err != nil {
		t.Errorf("the running request was lost: %v", err)
	}
	if err := <-ended; err != nil {
		t.Errorf("ended with %v", err)
	}
}

func TestCrash(t *testing.T) {
	t.Parallel()
	c := testConfig(t)
	c.crashAfter = time.Millisecond
	if _, _, ended := start(t, c); !errors.Is(<-ended, errCrash) {
		t.Error("--crash-after did not end in a crash")
	}
	c.crashAfter = 0
	url, _, ended := start(t, c)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+"/crash", nil)
	if err != nil {
		t.Fatal(err)
	}
	if response, err := http.DefaultClient.Do(request); err == nil {
		response.Body.Close()
	}
	if err := <-ended; !errors.Is(err, errCrash) {
		t.Errorf("ended with %v, want errCrash", err)
	}
}

func TestClient(t *testing.T) {
	t.Parallel()
	url, _, _ := start(t, testConfig(t))
	var out strings.Builder
	if err := fetch(t.Context(), url+"/", &out); err != nil || !strings.Contains(out.String(), `"version":"v1"`) {
		t.Errorf("fetch: %v, %s", err, out.String())
	}
	if err := fetch(t.Context(), url+"/none", io.Discard); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("fetch of a missing page: %v", err)
	}
	out.Reset()
	if err := lookup(t.Context(), "127.0.0.1", &out); err != nil || out.String() != "127.0.0.1\n" {
		t.Errorf("lookup: %v, %q", err, out.String())
	}
}
