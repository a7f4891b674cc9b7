//go:build !cgo

// The engine is built without cgo, which selects another driver than with it: only that one counts.

package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"islet/appliance/datastore"
)

// asKine makes the test binary the kine program, so that a test can kill it.
const asKine = "SQLITE_TEST_KINE"

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	if os.Getenv(asKine) != "" {
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer stop()
		if err := Run(ctx, os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// site is a database and the socket that it is served on.
type site struct{ database, socket string }

func newSite(t *testing.T) site {
	t.Helper()
	dir := t.TempDir()
	return site{filepath.Join(dir, "state.db"), filepath.Join(dir, "kine.sock")}
}

// kine starts the kine program; it is killed when the test ends, if it still runs then.
func (s site) kine(t *testing.T) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "serve", "--database", s.database, "--listen", s.socket)
	cmd.Env, cmd.Stderr = append(os.Environ(), asKine+"=1"), os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// serve serves until the returned function is called.
func (s site) serve(t *testing.T) (*clientv3.Client, func()) {
	t.Helper()
	cmd := s.kine(t)
	client := s.connect(t)
	return client, func() {
		t.Helper()
		_ = client.Close()
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
}

// connect waits until something answers on the socket.
func (s site) connect(t *testing.T) *clientv3.Client {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for {
		if _, err := os.Stat(s.socket); err == nil {
			break
		}
		select {
		case <-ctx.Done():
			t.Fatal("no socket")
		case <-time.After(5 * time.Millisecond):
		}
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{"unix://" + s.socket},
		Logger:      zap.NewNop(),
		DialOptions: []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if _, err := client.Get(ctx, "/registry/none"); err != nil {
		t.Fatalf("no answer: %v", err)
	}
	return client
}

// create writes a key the way the API server does.
func create(ctx context.Context, c *clientv3.Client, key, value string) error {
	resp, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision(key), "=", 0)).Then(clientv3.OpPut(key, value)).Commit()
	if err == nil && !resp.Succeeded {
		err = fmt.Errorf("%s exists", key)
	}
	return err
}

func fill(t *testing.T, c *clientv3.Client, n int) {
	t.Helper()
	for i := range n {
		if err := create(t.Context(), c, fmt.Sprintf("/registry/fill/%04d", i), strings.Repeat(string(rune('a'+i%26)), 400)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestServesTheEtcdAPI(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	serving, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(serving, s.database, s.socket) }()
	c, ctx := s.connect(t), t.Context()
	defer func() {
		_ = c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	if info, err := os.Stat(s.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has the mode %v (%v)", info.Mode(), err)
	}
	watch := c.Watch(ctx, "/registry/test/", clientv3.WithPrefix())
	if err := create(ctx, c, "/registry/test/a", "1"); err != nil {
		t.Fatal(err)
	}
	if err := create(ctx, c, "/registry/test/a", "2"); err == nil {
		t.Error("created twice")
	}
	got, err := c.Get(ctx, "/registry/test/a")
	if err != nil || len(got.Kvs) != 1 || string(got.Kvs[0].Value) != "1" {
		t.Fatalf("%+v (%v)", got, err)
	}
	at := got.Kvs[0].ModRevision
	for name, update := range map[string]struct {
		since int64
		want  bool
	}{"with a revision of yesterday": {at - 1, false}, "with the right revision": {at, true}} {
		resp, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("/registry/test/a"), "=", update.since)).
			Then(clientv3.OpPut("/registry/test/a", "3")).Else(clientv3.OpGet("/registry/test/a")).Commit()
		if err != nil || resp.Succeeded != update.want {
			t.Errorf("%s: %+v (%v)", name, resp, err)
		}
	}
	resp, err := c.Txn(ctx).If(clientv3.Compare(clientv3.ModRevision("/registry/test/a"), "=", at+1)).
		Then(clientv3.OpDelete("/registry/test/a")).Else(clientv3.OpGet("/registry/test/a")).Commit()
	if err != nil || !resp.Succeeded {
		t.Errorf("delete: %+v (%v)", resp, err)
	}
	var seen []string
	for len(seen) < 3 {
		select {
		case r := <-watch:
			for _, e := range r.Events {
				seen = append(seen, e.Type.String()+string(e.Kv.Value))
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("watch saw only %v", seen)
		}
	}
	if strings.Join(seen, " ") != "PUT1 PUT3 DELETE3" && strings.Join(seen, " ") != "PUT1 PUT3 DELETE" {
		t.Errorf("watch saw %v", seen)
	}
}

func TestKeepsWhatItAcknowledged(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for round := range 3 {
		kine := s.kine(t)
		c := s.connect(t)
		// It writes until the kill cuts it off: what was acknowledged up to then must be there.
		acknowledged := make(chan int, 1)
		go func() {
			n := 0
			for create(t.Context(), c, fmt.Sprintf("/registry/%d/%d", round, n), "x") == nil {
				if n++; n == 100+round*37 {
					_ = kine.Process.Kill()
				}
			}
			acknowledged <- n
		}()
		_ = kine.Wait() // it was killed
		_ = c.Close()
		n := <-acknowledged
		if n < 100 {
			t.Fatalf("only %d writes", n)
		}
		if _, err := Check(t.Context(), s.database); err != nil {
			t.Errorf("after the kill: %v", err)
		}
		if err := os.Remove(s.socket); err != nil {
			t.Fatal(err)
		}
		again, stop := s.serve(t)
		got, err := again.Get(t.Context(), fmt.Sprintf("/registry/%d/", round), clientv3.WithPrefix())
		if err != nil || len(got.Kvs) < n {
			t.Errorf("%d writes acknowledged, %d there (%v)", n, len(got.Kvs), err)
		}
		stop()
	}
}

func TestJournalAndSync(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, stop := s.serve(t)
	defer stop()
	fill(t, c, 1)
	if _, err := os.Stat(s.database + "-wal"); err != nil {
		t.Errorf("the database does not write ahead: %v", err)
	}
	for _, want := range []string{"journal_mode(WAL)", "synchronous(FULL)", "_txlock=immediate"} {
		if !strings.Contains(options, want) {
			t.Errorf("the options lack %s", want)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	good := newSite(t)
	c, stop := good.serve(t)
	fill(t, c, 500)
	stop()
	if report, err := Check(t.Context(), good.database); err != nil || report.Rows < 500 || report.Revision < 500 || report.Path != good.database {
		t.Errorf("a good one: %+v (%v)", report, err)
	}
	compact := good.database + ".compact" // in one file, without a log beside it
	report, err := Snapshot(t.Context(), good.database, compact)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(compact)
	if err != nil || report.Bytes != int64(len(whole)) {
		t.Fatalf("%+v, %d bytes (%v)", report, len(whole), err)
	}
	// A page that is not the first, overwritten in its middle and at its head, as a failing disk does it.
	flip := func(at, n int) func(data []byte) []byte {
		return func(data []byte) []byte {
			for i := at; i < at+n; i++ {
				data[i] ^= 0xff
			}
			return data
		}
	}
	cases := []struct {
		name   string
		damage func(data []byte) []byte
		want   error // nil: sound, without rows
	}{
		{"not there", nil, nil},
		{"no byte in it", func([]byte) []byte { return nil }, nil},
		{"head of a page", flip(10*4096, 64), datastore.ErrDamaged},
		{"middle of many pages", func(data []byte) []byte {
			for page := 4096; page+4096 <= len(data); page += 4096 {
				flip(page+512, 1024)(data)
			}
			return data
		}, datastore.ErrDamaged},
		{"header", flip(0, 16), datastore.ErrDamaged},
		{"cut short", func(data []byte) []byte { return data[:len(data)/2] }, datastore.ErrDamaged},
		{"another file", func([]byte) []byte { return bytes.Repeat([]byte("text\n"), 2000) }, datastore.ErrDamaged},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "state.db")
			if tc.damage != nil {
				if err := os.WriteFile(path, tc.damage(bytes.Clone(whole)), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			report, err := Check(t.Context(), path)
			if !errors.Is(err, tc.want) || err == nil && report.Rows != 0 {
				t.Errorf("%+v (%v), want %v", report, err, tc.want)
			}
			dst := filepath.Join(t.TempDir(), "copy.db")
			if tc.want == nil || tc.name == "middle of many pages" { // a copy may leave out what is damaged, but is sound itself
				return
			}
			if _, err := Snapshot(t.Context(), path, dst); !errors.Is(err, datastore.ErrDamaged) {
				t.Errorf("snapshot of it: %v", err)
			}
			if left, _ := filepath.Glob(filepath.Join(filepath.Dir(dst), "*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func TestOtherTroubleIsNotDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := Check(t.Context(), dir); err == nil || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("a directory: %v", err)
	}
	s := newSite(t)
	c, stop := s.serve(t)
	fill(t, c, 10)
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Check(ctx, s.database); err == nil || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := Snapshot(t.Context(), s.database, filepath.Join(dir, "no/such/dir/copy.db")); err == nil || errors.Is(err, datastore.ErrDamaged) {
		t.Errorf("nowhere to write: %v", err)
	}
	if _, err := Snapshot(t.Context(), filepath.Join(dir, "missing.db"), filepath.Join(dir, "copy.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing to copy: %v", err)
	}
}

func TestSnapshotWhileServing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, stop := s.serve(t)
	defer stop()
	fill(t, c, 300)
	writing, stopWriting := context.WithCancel(t.Context())
	written := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := create(writing, c, fmt.Sprintf("/registry/meanwhile/%d", i), "x"); err != nil {
				if writing.Err() != nil {
					err = nil
				}
				written <- err
				return
			}
		}
	}()
	dst := filepath.Join(t.TempDir(), "copy.db")
	if err := os.WriteFile(dst+".partial", []byte("of a snapshot that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	report, err := Snapshot(t.Context(), s.database, dst)
	stopWriting()
	if err := <-written; err != nil {
		t.Errorf("a write failed meanwhile: %v", err)
	}
	if err != nil || report.Rows < 300 || report.Path != dst {
		t.Fatalf("%+v (%v)", report, err)
	}
	if info, err := os.Stat(dst); err != nil || info.Mode() != 0o600 || info.Size() != report.Bytes {
		t.Errorf("%+v (%v)", info, err)
	}
	restored := site{dst, filepath.Join(t.TempDir(), "kine.sock")}
	from, stopCopy := restored.serve(t)
	defer stopCopy()
	got, err := from.Get(t.Context(), "/registry/fill/", clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil || got.Count != 300 {
		t.Errorf("the copy has %d of 300 keys (%v)", got.Count, err)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	c, stop := s.serve(t)
	fill(t, c, 5)
	stop()
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"check", s.database}, &out); err != nil {
		t.Fatal(err)
	}
	var report datastore.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Rows < 5 {
		t.Errorf("%s (%v)", out.String(), err)
	}
	if err := Run(t.Context(), []string{"snapshot", s.database, s.database + ".copy"}, io.Discard); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{nil, {"check"}, {"snapshot", "a"}, {"frobnicate"}, {"serve"}, {"serve", "--database", "x"}, {"serve", "--what"}} {
		if err := Run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
