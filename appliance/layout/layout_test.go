package layout

import (
	"reflect"
	"strings"
	"testing"
)

// Every path must be below one of the roots, so that a test's temporary directory holds a whole
// node, and no two may be the same but where one is meant to hold the other's socket.
func TestEveryPathIsBelowARoot(t *testing.T) {
	t.Parallel()
	l := Layout{EtcDir: "/t/etc", StateDir: "/t/state", RunDir: "/t/run", CNIDir: "/t/cni"}
	seen := map[string]string{}
	value := reflect.ValueOf(l)
	for i := range value.NumMethod() {
		name, method := value.Type().Method(i).Name, value.Method(i)
		if method.Type().NumIn() != 0 || method.Type().NumOut() != 1 || method.Type().Out(0).Kind() != reflect.String {
			continue
		}
		path := method.Call(nil)[0].String()
		if !strings.HasPrefix(path, "/t/") {
			t.Errorf("%s is %s, outside of the roots", name, path)
		}
		if other, twice := seen[path]; twice {
			t.Errorf("%s and %s are both %s", name, other, path)
		}
		seen[path] = name
	}
	if len(seen) < 10 {
		t.Errorf("only %d paths were looked at", len(seen))
	}
}
