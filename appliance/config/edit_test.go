package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestEdit(t *testing.T) {
	t.Parallel()
	const head = "apiVersion: islet.dev/v1alpha1\nkind: Site\n"
	for name, c := range map[string]struct{ in, keeps, fails string }{
		"a short file":       {head, "kind: Site", ""},
		"another section":    {head + "site:\n  name: plant # ours\n", "name: plant # ours", ""},
		"the section":        {head + "datastore:\n  snapshots:\n    keep: 7\n", "keep: 7", ""},
		"the field":          {head + "# why\ndatastore:\n  store: sqlite # small\n", "# why\ndatastore:\n  store: etcd # small", ""},
		"an empty section":   {head + "datastore:\n", "datastore:", ""},
		"a file with errors": {head + "node:\n  rol: server\n", "", "rol"},
		"no YAML":            {"a: [", "", "YAML"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out, err := Edit([]byte(c.in), "datastore.store", "etcd")
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if cfg, _, err := Decode(bytes.NewReader(out)); err != nil || cfg.Datastore.Store != StoreEtcd || !strings.Contains(string(out), c.keeps) {
				t.Errorf("%v\n%s", err, out)
			}
			if again, err := Edit(out, "datastore.store", "etcd"); err != nil || string(again) != string(out) {
				t.Errorf("a second time: %v\n%s", err, again)
			}
		})
	}
}
