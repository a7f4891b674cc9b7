package support

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"islet/appliance/redact"
)

// kinds are the objects that are collected. Secrets are not among them, and ConfigMaps by name only: people keep passwords in
// both.
var kinds = []string{
	"nodes", "namespaces", "pods", "deployments.apps", "daemonsets.apps", "statefulsets.apps", "replicasets.apps", "jobs.batch", "services", "endpointslices.discovery.k8s.io",
	"persistentvolumes", "persistentvolumeclaims", "storageclasses.storage.k8s.io", "networkpolicies.networking.k8s.io", "leases.coordination.k8s.io",
	"gateways.gateway.networking.k8s.io", "httproutes.gateway.networking.k8s.io", "apiservices.apiregistration.k8s.io",
}

// Kubectl runs kubectl as somebody who may read.
type Kubectl struct {
	Program string
	Args    []string // before all others
	Environ []string
}

const askTime = "--request-timeout=8s"

func (k Kubectl) run(ctx context.Context, w io.Writer, args ...string) error {
	return run(ctx, w, k.Program, slices.Concat(k.Args, []string{askTime}, args), k.Environ)
}

// Kubernetes are the sources that need the API. They ask it once whether it is there, and not again if it is not.
func Kubernetes(k Kubectl) []Source {
	var asked, silent error
	ask := func(ctx context.Context) error {
		if asked == nil {
			asked = errors.New("asked")
			silent = k.run(ctx, io.Discard, "get", "--raw", "/readyz")
		}
		return silent
	}
	when := func(write func(ctx context.Context, w io.Writer) error) func(context.Context, io.Writer) error {
		return func(ctx context.Context, w io.Writer) error {
			if err := ask(ctx); err != nil {
				return fmt.Errorf("the Kubernetes API does not answer: %w", err)
			}
			return write(ctx, w)
		}
	}
	text := func(name string, args ...string) Source {
		return Source{name, when(func(ctx context.Context, w io.Writer) error { return k.run(ctx, w, args...) })}
	}
	sources := []Source{
		{"kubernetes/readyz", func(ctx context.Context, w io.Writer) error { return k.run(ctx, w, "get", "--raw", "/readyz?verbose") }},
		text("kubernetes/version.json", "version", "--output=json"),
		text("kubernetes/events", "get", "events", "--all-namespaces", "--sort-by=.lastTimestamp", "--output=wide"),
		text("kubernetes/configmaps", "get", "configmaps", "--all-namespaces"),
		text("kubernetes/top-nodes", "top", "nodes"),
		text("kubernetes/top-pods", "top", "pods", "--all-namespaces"),
	}
	for _, kind := range kinds {
		name, _, _ := strings.Cut(kind, ".")
		sources = append(sources, Source{"kubernetes/" + name + ".json", when(func(ctx context.Context, w io.Writer) error {
			var raw bytes.Buffer
			if err := k.run(ctx, &raw, "get", kind, "--all-namespaces", "--output=json", "--show-managed-fields=false"); err != nil {
				return err
			}
			return prune(w, raw.Bytes())
		})})
	}
	return sources
}

// prune writes a list of objects without what may hold secrets: the values of environment variables, and the copies of
// objects in annotations.
func prune(w io.Writer, raw []byte) error {
	var list any
	if err := json.Unmarshal(raw, &list); err != nil {
		return fmt.Errorf("read what kubectl says: %w", err)
	}
	clean(list)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", " ")
	return encoder.Encode(list)
}

func clean(v any) {
	switch v := v.(type) {
	case map[string]any:
		if annotations, ok := v["annotations"].(map[string]any); ok {
			delete(annotations, "kubectl.kubernetes.io/last-applied-configuration")
		}
		if environ, ok := v["env"].([]any); ok {
			for _, e := range environ {
				if variable, ok := e.(map[string]any); ok && variable["value"] != nil {
					variable["value"] = redact.Mark
				}
			}
		}
		for _, field := range v {
			clean(field)
		}
	case []any:
		for _, item := range v {
			clean(item)
		}
	}
}
