package preflight

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"islet/appliance/config"
)

func TestDatabase(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	dir := t.TempDir()
	password, open := filepath.Join(dir, "password"), filepath.Join(dir, "open")
	for path, mode := range map[string]os.FileMode{password: 0o600, open: 0o644} {
		if err := os.WriteFile(path, []byte("x"), mode); err != nil {
			t.Fatal(err)
		}
	}
	up, down := "postgres://islet@"+listener.Addr().String()+"/islet", "mysql://islet@tcp(127.0.0.1:1)/islet"
	for name, c := range map[string]struct {
		external config.External
		joins    bool
		status   Status
		found    string
	}{
		"up":                  {config.External{Endpoint: up, PasswordFile: password, CAFile: open}, false, Passed, "somebody listens at 127.0.0.1"},
		"one of two":          {config.External{Endpoint: strings.Replace(up, "@", "@127.0.0.1:1,", 1)}, false, Passed, "somebody listens"},
		"down":                {config.External{Endpoint: down, PasswordFile: password}, false, Failed, "connection refused"},
		"an open password":    {config.External{Endpoint: up, PasswordFile: open}, false, Failed, "others than root"},
		"no password":         {config.External{Endpoint: up, PasswordFile: password + "x"}, false, Failed, "no such file"},
		"no password, joined": {config.External{Endpoint: up, PasswordFile: password + "x"}, true, Passed, "somebody listens"},
	} {
		in := Input{Config: config.Default(), Joins: c.joins}
		in.Config.Datastore = config.Datastore{Store: config.StoreExternal, External: c.external}
		r := databaseCheck(in)[0].Run(t.Context())
		if r.Status != c.status || !strings.Contains(r.Found, c.found) || (r.Advice == "") != (c.status == Passed) {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if all := databaseCheck(Input{Config: config.Default()}); len(all) != 0 {
		t.Errorf("on SQLite: %v", all)
	}
}
