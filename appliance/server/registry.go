package server

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/addon"
	"islet/appliance/component"
	"islet/appliance/health"
	"islet/appliance/join"
	"islet/appliance/kube/client"
	"islet/appliance/pki"
	"islet/appliance/registry"
	"islet/appliance/runtime"
)

const (
	imageSourcesName     = "image-sources"
	imageSourcesInterval = 10 * time.Second
	// registryDialSeconds is how long a server that is away holds up a pull before the next one is asked.
	registryDialSeconds = 3
	// runningExecutable keeps naming the file that runs after another has taken its place.
	runningExecutable = "/proc/self/exe"
)

func (n *node) registryParams() registry.Params {
	return registry.Params{
		Layout: n.layout, Address: n.derived.Address, Bundle: n.carriedFile,
		ServerGroup: join.GroupServers, AgentGroup: join.GroupAgents, Child: n.child,
	}
}

// carriedFile is the file with the bundle, as a child of the daemon sees it.
func (n *node) carriedFile() (string, digest.Digest) {
	path := n.BundlePath
	if path == runningExecutable {
		path = fmt.Sprintf("/proc/%d/exe", os.Getpid())
	}
	return path, n.Bundle.Digest()
}

// imageSourcesUnit keeps the lists of servers from which containerd, and a server's registry, fetch images. They are read
// again for each use, so that nothing is restarted when they change.
func (n *node) imageSourcesUnit(c client.Client) component.Unit {
	users := registry.Users{Client: c, Namespace: addon.Namespace}
	return component.Unit{New: func() component.Component {
		return component.Task{TaskName: imageSourcesName, Do: func(ctx context.Context, ready func()) error {
			tick := time.NewTicker(imageSourcesInterval)
			defer tick.Stop()
			for {
				others := answeringFirst(ctx, n.otherServers(), dialRegistry)
				if err := n.writeImageSources(others); err != nil {
					return err
				}
				ready()
				if !n.isAgent() {
					n.judgeRegistry(ctx)
					if err := n.copyRegistryUsers(ctx, users); err != nil {
						n.Log.Debug("users of the registry not read", "error", err)
					}
				}
				select {
				case <-ctx.Done():
					return nil
				case <-tick.C:
				}
			}
		}}
	}}
}

// writeImageSources writes what is out of date. On a server its own registry comes first, by an address that is always
// there.
func (n *node) writeImageSources(others []netip.Addr) error {
	hosts := registry.Hosts{
		Dir: runtime.HostsDir(n.layout), Servers: others,
		CA: n.pki.Authority(pki.SiteCA).CertFile(), DialSeconds: registryDialSeconds,
	}
	leaf := join.NodeLeaf
	if !n.isAgent() {
		if err := registry.WritePeers(n.layout, others); err != nil {
			return err
		}
		hosts.Servers = append([]netip.Addr{registry.Local().Addr()}, others...)
		leaf = registry.LeafPeer
	}
	hosts.Cert, hosts.Key = n.pki.CertFile(leaf), n.pki.KeyFile(leaf)
	return hosts.Write()
}

// answeringFirst puts the servers last that do not answer: containerd asks one after the other for each part of an image, and
// waits for each that is away.
func answeringFirst(ctx context.Context, servers []netip.Addr, dial func(context.Context, netip.Addr) error) []netip.Addr {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	away := make([]bool, len(servers))
	var asking sync.WaitGroup
	for i, s := range servers {
		asking.Go(func() { away[i] = dial(ctx, s) != nil })
	}
	asking.Wait()
	var first, last []netip.Addr
	for i, s := range servers {
		if away[i] {
			last = append(last, s)
		} else {
			first = append(first, s)
		}
	}
	return append(first, last...)
}

func dialRegistry(ctx context.Context, server netip.Addr) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", netip.AddrPortFrom(server, registry.Port).String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// judgeRegistry reports pushes that only this server has. That the registry does not answer, its component tells.
func (n *node) judgeRegistry(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, imageSourcesInterval)
	defer cancel()
	status, err := registry.Status(ctx, n.layout)
	if err != nil {
		return
	}
	detail := ""
	if len(status.Alone) > 0 {
		detail = fmt.Sprintf("%d repositories, %s first", len(status.Alone), status.Alone[0])
	}
	n.set(health.RegistryNotReplicated, registry.Name, len(status.Alone) > 0, detail)
}

// copyRegistryUsers keeps the file from which this server's registry knows its users. While Kubernetes does not answer it
// stays as it is.
func (n *node) copyRegistryUsers(ctx context.Context, users registry.Users) error {
	ctx, cancel := context.WithTimeout(ctx, imageSourcesInterval)
	defer cancel()
	list, err := users.List(ctx)
	if err != nil {
		return err
	}
	return registry.WriteUsers(n.layout, list)
}
