package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"islet/appliance/config"
	"islet/appliance/lab"
	"islet/appliance/layout"
)

const (
	serverCount   = 3
	fleetHosts    = 5
	failoverWatch = 20 * time.Second // more than any part of it takes
)

var virtualAPI = netip.MustParseAddr("10.77.0.100")

// servers measures a site of three servers and two agents, and what its clients notice of a server's death.
func (b *bench) servers(ctx context.Context) error {
	b.say("a site of %d servers and %d agents", serverCount, fleetHosts-serverCount)
	if err := b.hosts.Down(ctx); err != nil {
		return err
	}
	begun := time.Now()
	if err := b.boot(ctx, fleetHosts, func(c *config.Config) {
		c.Datastore.Store = config.StoreEtcd
		c.Network.VIP.API = virtualAPI
	}); err != nil {
		return err
	}
	if err := poll(ctx, 3*time.Minute, "the first server", b.allReady); err != nil {
		return err
	}
	hosts := b.hosts.Hosts()
	asServer, err := b.join(ctx, config.RoleServer, hosts[1:serverCount])
	if err != nil {
		return err
	}
	if _, err := b.join(ctx, config.RoleAgent, hosts[serverCount:]); err != nil {
		return err
	}
	for _, host := range hosts[:serverCount] {
		if err := poll(ctx, 3*time.Minute, host.Name(), func(ctx context.Context) error { return voting(ctx, host) }); err != nil {
			return err
		}
	}
	b.table.add(row{what: "join of a server, from the command until all of it is ready, mean of 2", unit: "s", value: asServer})
	b.table.add(row{what: "a site of three servers and two agents, from bare files until all of it is ready", unit: "s", value: time.Since(begun).Seconds()})
	if err := sleep(ctx, b.settle); err != nil {
		return err
	}
	all, err := processesOf(hosts[1])
	if err != nil {
		return err
	}
	b.table.add(row{what: "idle memory of a server's host processes with etcd, PSS", unit: "MiB", value: all.sum(kindHost).pss})
	b.table.add(row{what: "idle memory of a server's host processes with etcd, private", unit: "MiB", value: all.sum(kindHost).private})
	return b.failover(ctx, hosts[serverCount])
}

// voting complains unless a server is ready and has a vote.
func voting(ctx context.Context, host *lab.Host) error {
	s, err := clientOf(host).Status(ctx)
	if err == nil && (!s.Ready || s.Standby) {
		err = errors.New("not ready, or without a vote")
	}
	return err
}

// failover cuts the power of the server that was first and made everything, while writes go through an agent's balancer and
// through the virtual address.
func (b *bench) failover(ctx context.Context, agent *lab.Host) error {
	kubeconfig, err := b.host.ReadFile(layout.Default().AdminKubeconfig())
	if err != nil {
		return err
	}
	admin, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, failoverWatch)
	defer stop()
	balancer, address := newWriter(admin, "https://127.0.0.1:6443", agent.Dial), newWriter(admin, "https://"+virtualAPI.String()+":6443", b.hosts.Dial)
	var writing sync.WaitGroup
	writing.Go(func() { balancer.run(ctx, "balancer") })
	writing.Go(func() { address.run(ctx, "address") })
	if err := sleep(ctx, time.Second); err != nil {
		return err
	}
	if err := b.host.Kill(ctx); err != nil {
		return err
	}
	writing.Wait()
	for _, w := range []struct {
		name string
		*writer
	}{{"an agent's balancer", balancer}, {"the virtual address", address}} {
		if w.err != nil {
			return w.err
		}
		b.table.add(row{what: "a server dies: longest time without a write through " + w.name, unit: "s", value: w.longest.Seconds()})
		b.table.add(row{what: fmt.Sprintf("  requests that failed, of %d", w.made), unit: "", value: float64(w.failed)})
	}
	return nil
}

// writer makes one small object after the other.
type writer struct {
	kube         kubernetes.Interface
	made, failed int
	longest      time.Duration // without a success
	err          error         // it could not be made
}

func newWriter(admin *rest.Config, server string, dial func(ctx context.Context, network, address string) (net.Conn, error)) *writer {
	c := rest.CopyConfig(admin)
	c.Host, c.Dial, c.Timeout, c.QPS = server, dial, 3*time.Second, -1
	kube, err := kubernetes.NewForConfig(c)
	return &writer{kube: kube, err: err}
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context, prefix string) {
	if w.err != nil {
		return
	}
	last := time.Now()
	for ; ctx.Err() == nil; w.made++ {
		object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", prefix, w.made)}}
		_, err := w.kube.CoreV1().ConfigMaps("default").Create(ctx, object, metav1.CreateOptions{})
		switch {
		case ctx.Err() != nil:
		case err != nil:
			w.failed++
		default:
			w.longest = max(w.longest, time.Since(last))
			last = time.Now()
		}
		_ = sleep(ctx, 50*time.Millisecond) // the loop sees the end
	}
}
