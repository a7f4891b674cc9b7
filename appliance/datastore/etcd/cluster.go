package etcd

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/client/pkg/v3/transport"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc"
)

const (
	// callTimeout is how long one call may take.
	callTimeout = 5 * time.Second
	// A read that finds no server or no leader is tried again for about a second: an election may be on.
	readAttempts = 10
	readPause    = 100 * time.Millisecond
	// patience is how long to repeat what etcd refuses for the moment. It trusts only connections that are
	// five seconds old, and forgets a member that is gone as late as that.
	patience     = 10 * time.Second
	refusedPause = 200 * time.Millisecond
)

// cluster is an etcd cluster as its client sees it.
type cluster struct {
	endpoints         []string
	cacert, cert, key string
}

// clusterFlags returns a cluster that is filled when the flags are parsed.
func clusterFlags() (*cluster, *flag.FlagSet) {
	c, flags := &cluster{}, flag.NewFlagSet("", flag.ContinueOnError)
	flags.Func("endpoints", "URLs of members, with commas between them; some may be dead", func(list string) error {
		c.endpoints = strings.FieldsFunc(list, func(r rune) bool { return r == ',' })
		return nil
	})
	flags.StringVar(&c.cacert, "cacert", "", "authority of the servers' certificates")
	flags.StringVar(&c.cert, "cert", "", "certificate to show")
	flags.StringVar(&c.key, "key", "", "its key")
	return c, flags
}

func (c *cluster) validate() error {
	if len(c.endpoints) == 0 {
		return errors.New("--endpoints is needed")
	}
	return nil
}

// only returns the endpoint of what is done to one member.
func (c *cluster) only() (string, error) {
	if len(c.endpoints) != 1 {
		return "", fmt.Errorf("this is done to one member: --endpoints must be one URL, not %q", c.endpoints)
	}
	return c.endpoints[0], nil
}

// with calls f with a client of these endpoints. It connects in the background: it is the calls that fail.
func (c *cluster) with(endpoints []string, f func(*clientv3.Client) error) error {
	config := clientv3.Config{
		Endpoints: endpoints, Logger: zap.NewNop(), MaxUnaryRetries: readAttempts, BackoffWaitBetween: readPause,
		DialOptions: []grpc.DialOption{grpc.WithChainUnaryInterceptor(failFast), grpc.WithChainStreamInterceptor(failFastStream)},
	}
	if c.cacert != "" || c.cert != "" {
		info := transport.TLSInfo{TrustedCAFile: c.cacert, CertFile: c.cert, KeyFile: c.key, Logger: zap.NewNop()}
		var err error
		if config.TLS, err = info.ClientConfig(); err != nil {
			return err
		}
	}
	client, err := clientv3.New(config)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }() // nothing is in flight
	return f(client)
}

// failFast lets a call fail when nobody listens. Etcd's client would wait until somebody does.
func failFast(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	return invoke(ctx, method, request, reply, conn, append(opts, grpc.WaitForReady(false))...)
}

func failFastStream(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return open(ctx, desc, conn, method, append(opts, grpc.WaitForReady(false))...)
}

// change makes one change of the cluster through its voters: a member without a vote refuses. While etcd answers with
// refusal, it is made again.
func (c *cluster) change(ctx context.Context, voters []string, refusal error, f func(context.Context, *clientv3.Client) error) error {
	return c.with(voters, func(client *clientv3.Client) error {
		for end := time.Now().Add(patience); ; {
			err := call(ctx, client, f)
			if !errors.Is(err, refusal) || time.Now().After(end) {
				return err
			}
			select {
			case <-ctx.Done():
				return err
			case <-time.After(refusedPause):
			}
		}
	})
}

func call(ctx context.Context, client *clientv3.Client, f func(context.Context, *clientv3.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return f(ctx, client)
}

// voters returns where members with a vote listen; the given endpoints while none has told yet.
func (c *cluster) voters(members []*etcdserverpb.Member) []string {
	var urls []string
	for _, m := range members {
		if !m.IsLearner && len(m.ClientURLs) > 0 {
			urls = append(urls, m.ClientURLs[0])
		}
	}
	if urls == nil {
		return c.endpoints
	}
	return urls
}
