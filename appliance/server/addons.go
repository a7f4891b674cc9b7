package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"islet/appliance/addon"
	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/kube"
	"islet/appliance/kube/client"
	"islet/appliance/pki"
	"islet/appliance/runtime"
	"islet/bundle"
)

const addonsName = "addons"

// optionalAddons are carried but applied on request only.
var optionalAddons = []string{"sample"}

// addonOrder is what comes first; the rest follows by name.
var addonOrder = []string{"platform", "coredns", "gateway-api", "gateway"}

// addonSet is what the bundle carries for the inside of Kubernetes.
type addonSet struct {
	components []addon.Component
	pause      string // reference of the sandbox image
}

// loadBundle reads the lists of images and add-ons from the bundle.
func (n *node) loadBundle(ctx context.Context) error {
	source := n.Bundle.Index().Name + "@" + n.Bundle.Digest().String()
	n.images = &runtime.Images{Socket: n.layout.ContainerdSocket(), Blobs: n.Bundle, TmpDir: n.layout.Tmp(), Log: n.Log}
	for _, c := range n.Bundle.Components() {
		if c.Kind != bundle.KindImage {
			continue
		}
		n.images.List = append(n.images.List, runtime.Image{Reference: c.Reference, Descriptor: c.Descriptor, Source: source})
		if c.Name == "pause" {
			n.addons.pause = c.Reference
		}
	}
	if n.addons.pause == "" {
		return fmt.Errorf("the bundle carries no image named pause: use one made by `make bundle`")
	}
	runtime.SortForStart(n.images.List, n.addons.pause)
	components, err := addon.Load(ctx, n.Bundle)
	if err != nil {
		return err
	}
	n.addons.components = slices.DeleteFunc(components, func(c addon.Component) bool {
		return slices.Contains(optionalAddons, c.Name) || strings.HasPrefix(c.Name, "gateway") && !n.Config.Gateway.Enabled
	})
	rank := func(c addon.Component) int {
		if i := slices.Index(addonOrder, c.Name); i >= 0 {
			return i
		}
		return len(addonOrder)
	}
	slices.SortStableFunc(n.addons.components, func(a, b addon.Component) int { return rank(a) - rank(b) })
	return nil
}

// addonsUnit applies the add-ons once per start, and again when asked to restart.
func (n *node) addonsUnit(c client.Client) component.Unit {
	applier := addon.NewApplier(c, n.Log)
	return component.Unit{
		Backoff: func(int) time.Duration { return 2 * time.Second },
		New: func() component.Component {
			return component.Task{TaskName: addonsName, TaskNeeds: []string{controlplane.APIServerName}, Do: func(ctx context.Context, ready func()) error {
				apply := func(ctx context.Context) error { return n.applyAddons(ctx, applier) }
				if n.several() {
					return kube.Lead(ctx, c, addonsLease, n.derived.NodeName, apply, ready)
				}
				if err := apply(ctx); err != nil {
					return err
				}
				ready()
				<-ctx.Done()
				return nil
			}}
		},
	}
}

// addonsLease is held by the server that applies the add-ons. Its namespace is there before any add-on.
const addonsLease = "islet-addons"

// publishedAddress is what the gateway writes into the state of routes. Every server finds the same one, lest the gateway is
// started anew wherever another server takes the lease.
func (n *node) publishedAddress() netip.Addr {
	if a := n.derived.ApplicationsVIP.Address; a.IsValid() {
		return a
	}
	return slices.MinFunc(append(n.otherServers(), n.derived.Address), netip.Addr.Compare)
}

func (n *node) applyAddons(ctx context.Context, applier *addon.Applier) error {
	values := addonValues(n.Config, n.derived, n.pki.Authority(pki.ClusterCA).PEM())
	values["GATEWAY_ADDRESS"] = n.publishedAddress().String()
	applied, carried := addon.Inventory{}, addon.CarriedImages(n.Bundle)
	if err := applier.WakeKinds(ctx); err != nil {
		return err
	}
	for _, c := range n.addons.components {
		objects, err := c.Render(values)
		if err == nil {
			err = carried.Check(objects)
		}
		if err != nil {
			return fmt.Errorf("add-on %s: %w", c.Name, err)
		}
		if c.Name == "platform" {
			secrets, err := n.certificateSecrets()
			if err != nil {
				return err
			}
			objects = append(objects, secrets...)
		}
		if err := applier.Apply(ctx, c.Name, objects); err != nil {
			return err
		}
		applied[c.Name] = addon.IDs(objects)
	}
	return applier.Prune(ctx, applied)
}

// certificateSecrets are the leaves that workloads serve with.
func (n *node) certificateSecrets() ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for _, leaf := range []string{leafSite, leafMetricsServer} {
		cert, err := os.ReadFile(n.pki.CertFile(leaf))
		if err != nil {
			return nil, err
		}
		key, err := os.ReadFile(n.pki.KeyFile(leaf))
		if err != nil {
			return nil, err
		}
		out = append(out, &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls",
			"metadata": map[string]any{"name": leaf, "namespace": addon.Namespace},
			"data": map[string]any{
				"tls.crt": base64.StdEncoding.EncodeToString(cert), "tls.key": base64.StdEncoding.EncodeToString(key),
			},
		}})
	}
	return out, nil
}
