package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"islet/appliance/cli"
	"islet/appliance/datastore"
)

const migrationCuts = 4

// TestMigrate moves a server's state from SQLite to etcd, with the power cut again and again meanwhile, and back.
func TestMigrate(t *testing.T) {
	t.Parallel()
	p := boot(t, "migrate")
	defer p.diagnose(t)
	await(t, readyLimit, "every component is ready", p.ready)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	p.deploySample(t)
	await(t, readyLimit, "the sample application runs", func(ctx context.Context) error { return p.podsReady(ctx, sampleNamespace) })
	for i := range 200 {
		p.note(t, fmt.Sprintf("before-%d", i))
	}
	before := p.objects(t)
	if code := p.exitCode(t, "datastore", "migrate", "--back", "--yes"); code != int(cli.CodeNotPossible) {
		t.Errorf("back from nowhere: exit code %d", code)
	}
	p.migrateUnderCuts(t)
	p.compareObjects(t, before, "after the migration")
	p.note(t, "since")
	p.run(t, "appliance", "datastore", "migrate", "--back", "--yes")
	p.compareObjects(t, before, "back on sqlite")
	if _, err := p.kube.CoreV1().ConfigMaps("default").Get(t.Context(), "since", metav1.GetOptions{}); err == nil {
		t.Error("what was written since is still there")
	}
	begun := time.Now()
	p.run(t, "appliance", "datastore", "migrate", "--to", "etcd", "--yes")
	t.Logf("moved to etcd in %s", time.Since(begun).Round(10*time.Millisecond))
	p.compareObjects(t, before, "after the second migration")
	p.run(t, "appliance", "datastore", "migrate", "--confirm", "--yes")
	if code := p.exitCode(t, "datastore", "migrate", "--back", "--yes"); code != int(cli.CodeNotPossible) {
		t.Errorf("back after it was confirmed: exit code %d", code)
	}
	await(t, readyLimit, "every component is ready", p.ready)
	p.pullEvents(t)
}

// migrateUnderCuts cuts the power some times while the migration runs, or goes on after a cut: it is finished afterwards, or
// nothing has changed.
func (p *platform) migrateUnderCuts(t *testing.T) {
	for i := range migrationCuts {
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_, _ = p.host.Output(ctx, "appliance", "datastore", "migrate", "--to", "etcd", "--yes") // it is cut off, or there is no daemon yet
		}()
		after := time.Duration(rand.Int64N(int64(4 * time.Second)))
		<-time.After(after)
		if err := p.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		<-ended
		t.Logf("cut %d after %s: sqlite: %s; etcd %s", i+1, after.Round(time.Millisecond), p.checkDisk(t), p.checkEtcd(t, "check", datastore.EtcdDir(paths)))
		if err := p.host.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	await(t, readyLimit, "every component is ready again", p.ready)
	s, err := p.daemon().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the site is on %s", s.Datastore.Store)
	if s.Datastore.Restored != "" {
		t.Errorf("restored %s", s.Datastore.Restored)
	}
	if s.Datastore.Store != "etcd" {
		p.run(t, "appliance", "datastore", "migrate", "--to", "etcd", "--yes")
	}
}

// kept are kinds of which nothing changes by itself.
var kept = []schema.GroupVersionResource{
	{Version: "v1", Resource: "configmaps"}, {Version: "v1", Resource: "secrets"}, {Version: "v1", Resource: "services"},
	{Version: "v1", Resource: "serviceaccounts"}, {Version: "v1", Resource: "namespaces"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterroles"},
	{Group: "rbac.authorization.k8s.io", Version: "v1", Resource: "clusterrolebindings"},
	{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"},
	{Group: "storage.k8s.io", Version: "v1", Resource: "storageclasses"},
}

// objects are all of those kinds with their revisions, by kind and name.
func (p *platform) objects(t *testing.T) map[string]string {
	t.Helper()
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	client, err := dynamic.NewForConfig(p.rest)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, kind := range kept {
		list, err := client.Resource(kind).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range list.Items {
			if o.GetName() == "audit-heads" { // which each server writes as its audit log grows
				continue
			}
			text, err := json.Marshal(o.Object)
			if err != nil {
				t.Fatal(err)
			}
			all[kind.Resource+" "+o.GetNamespace()+"/"+o.GetName()] = string(text)
		}
	}
	return all
}

// compareObjects compares one by one, to the letter: the revisions are the same, too.
func (p *platform) compareObjects(t *testing.T, want map[string]string, when string) {
	t.Helper()
	have := p.objects(t)
	t.Logf("%s: %d objects, %d before", when, len(have), len(want))
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if have[name] != want[name] {
			t.Errorf("%s: %s is\n%s\nwas\n%s", when, name, have[name], want[name])
		}
	}
}
