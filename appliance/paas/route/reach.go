package route

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const (
	// knockTimeout is longer than a packet and one that repeats it take within a site.
	knockTimeout = 1500 * time.Millisecond
	// deadAfter is how many knocks in a row nobody hears.
	deadAfter = 2
)

// reach knows which machines answer. Kubernetes takes 40 seconds to miss a node.
type reach struct {
	knock  func(ctx context.Context, address string) bool
	silent map[string]int // knocks in a row that got no answer
}

// dead knocks at all nodes, and returns those that several times in a row did not answer, with the reason. Where no node answers it
// is this one that is cut off: then none is dead.
func (r *reach) dead(ctx context.Context, nodes []corev1.Node) map[string]string {
	answers := make([]bool, len(nodes))
	var knocking sync.WaitGroup
	for i := range nodes {
		knocking.Go(func() { answers[i] = r.knock(ctx, addressOf(&nodes[i])) })
	}
	knocking.Wait()
	before, heard := r.silent, 0
	r.silent = map[string]int{}
	out := map[string]string{}
	for i := range nodes {
		name := nodes[i].Name
		if answers[i] {
			heard++
			continue
		}
		r.silent[name] = before[name] + 1
		if r.silent[name] >= deadAfter {
			out[name] = "it does not answer"
		}
	}
	if heard == 0 || ctx.Err() != nil {
		return nil
	}
	return out
}

func addressOf(n *corev1.Node) string {
	for _, a := range n.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			return a.Address
		}
	}
	return ""
}

// knocker returns what says whether a machine answers at the kubelet's port, whatever it answers. One that refuses the connection
// lives: only its kubelet does not, and its pods run on.
func knocker() func(ctx context.Context, address string) bool {
	asker := http.Client{Timeout: knockTimeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // nothing is told and nothing believed: that it answers is all
	}}
	return func(ctx context.Context, address string) bool {
		if address == "" { // it has not come up yet
			return true
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+net.JoinHostPort(address, strconv.Itoa(kubeletPort))+"/healthz", nil)
		if err != nil {
			return true
		}
		answer, err := asker.Do(request)
		if err != nil {
			return errors.Is(err, syscall.ECONNREFUSED)
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10)) // so that the connection is used again
		_ = answer.Body.Close()
		return true
	}
}

const kubeletPort = 10250
