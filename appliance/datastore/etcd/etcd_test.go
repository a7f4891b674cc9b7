package etcd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.uber.org/zap"
)

// segmentBytes is the size of the files of a log: small ones are quickly made, and are soon more than one.
const segmentBytes = 256 << 10

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard)
	wal.SegmentSizeBytes = segmentBytes
	os.Exit(m.Run())
}

// member is an etcd in this process.
type member struct {
	name, dir, peer, client string
	initial, state          string
	tls                     transport.TLSInfo // of the server
	etcd                    *embed.Etcd
}

// newMember is one that has nothing, and would be the only one of a new cluster.
func newMember(t *testing.T, name string) *member {
	t.Helper()
	m := &member{name: name, dir: filepath.Join(t.TempDir(), name), peer: freeURL(t, "http"), client: freeURL(t, "http"), state: "new"}
	m.initial = name + "=" + m.peer
	return m
}

// given are the ports that tests have got.
var given sync.Map

// freeURL is one that nothing listens on, of ports that no client gets for its end of a connection.
func freeURL(t *testing.T, scheme string) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		_ = l.Close()
		if _, taken := given.LoadOrStore(address, true); !taken {
			return scheme + "://" + address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// start starts it; it stops when the test ends, if not before.
func (m *member) start(t *testing.T) {
	t.Helper()
	config := embed.NewConfig()
	config.Name, config.Dir, config.InitialCluster, config.ClusterState = m.name, m.dir, m.initial, m.state
	for dst, text := range map[*[]url.URL]string{
		&config.ListenPeerUrls: m.peer, &config.AdvertisePeerUrls: m.peer, &config.ListenClientUrls: m.client, &config.AdvertiseClientUrls: m.client,
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		*dst = []url.URL{*u}
	}
	config.ClientTLSInfo = m.tls
	config.TickMs, config.ElectionMs = 20, 400
	config.UnsafeNoFsync, config.MaxLearners, config.EnableGRPCGateway = true, 2, false
	config.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		t.Fatalf("start %s: %v", m.name, err)
	}
	m.etcd = etcd
	t.Cleanup(m.stop)
	select {
	case <-etcd.Server.ReadyNotify():
	case <-time.After(20 * time.Second):
		t.Fatalf("%s is not ready", m.name)
	}
}

func (m *member) stop() {
	if m.etcd != nil {
		m.etcd.Close()
		m.etcd = nil
	}
}

// connect returns a client of this member only.
func (m *member) connect(t *testing.T) *clientv3.Client {
	t.Helper()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{m.client}, Logger: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// fill writes keys of many kinds: changed, deleted, made again, of all sizes, and with a lease.
func fill(t *testing.T, client *clientv3.Client) {
	t.Helper()
	lease, err := client.Grant(t.Context(), 3600)
	if err != nil {
		t.Fatal(err)
	}
	put := func(key, value string, opts ...clientv3.OpOption) {
		t.Helper()
		if _, err := client.Put(t.Context(), key, value, opts...); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 120 {
		key := fmt.Sprintf("/registry/%03d", i)
		put(key, strings.Repeat("x", i*60))
		switch i % 4 {
		case 1:
			put(key, "changed")
		case 2, 3:
			if _, err := client.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
		if i%4 == 3 {
			put(key, "again", clientv3.WithLease(lease.ID))
		}
	}
}

// all reads every key.
func all(t *testing.T, client *clientv3.Client) *clientv3.GetResponse {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	response, err := client.Get(ctx, "\x00", clientv3.WithFromKey())
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// sameKeys compares everything about keys but the versions, if they were not kept.
func sameKeys(t *testing.T, got, want *clientv3.GetResponse) {
	t.Helper()
	if len(got.Kvs) != len(want.Kvs) {
		t.Errorf("%d keys, want %d", len(got.Kvs), len(want.Kvs))
		return
	}
	for i, w := range want.Kvs {
		g := got.Kvs[i]
		if !bytes.Equal(g.Key, w.Key) || !bytes.Equal(g.Value, w.Value) || g.CreateRevision != w.CreateRevision || g.ModRevision != w.ModRevision || g.Lease != w.Lease {
			t.Errorf("%v, want %v", g, w)
		}
	}
}

// tool runs the program and decodes its answer.
func tool[T any](t *testing.T, args ...string) T {
	t.Helper()
	answer, err := try[T](t, args...)
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return answer
}

func try[T any](t *testing.T, args ...string) (answer T, err error) {
	t.Helper()
	var out bytes.Buffer
	if err := Run(t.Context(), args, &out); err != nil {
		return answer, err
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%q answers %s: %v", args, out.String(), err)
	}
	return answer, nil
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, f func() error) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
