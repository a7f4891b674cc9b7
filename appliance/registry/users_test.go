package registry

import (
	"errors"
	"testing"

	"islet/appliance/kube/client/fake"
	"islet/appliance/registry/serve"
)

func TestUsers(t *testing.T) {
	t.Parallel()
	users := Users{Client: fake.New(), Namespace: "islet-system"}
	if list, err := users.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v (%v)", list, err)
	}
	password, err := users.Add(t.Context(), "ci", true)
	if err != nil || len(password) < 26 {
		t.Fatalf("password of %d characters (%v)", len(password), err)
	}
	if _, err := users.Add(t.Context(), "viewer", false); err != nil {
		t.Fatal(err)
	}
	list, err := users.List(t.Context())
	if err != nil || len(list) != 2 || list["ci"] != (serve.User{Hash: serve.Hash(password), Push: true}) || list["viewer"].Push {
		t.Errorf("%v (%v)", list, err)
	}
	for name, want := range map[string]error{"ci": ErrUserHere, "a:b": ErrUserName, "": ErrUserName, "-x": ErrUserName} {
		if _, err := users.Add(t.Context(), name, false); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
	if err := users.Remove(t.Context(), "ci"); err != nil {
		t.Fatal(err)
	}
	if err := users.Remove(t.Context(), "ci"); !errors.Is(err, ErrNoUser) {
		t.Errorf("a second time: %v", err)
	}
	if list, err := users.List(t.Context()); err != nil || len(list) != 1 {
		t.Errorf("%v (%v)", list, err)
	}
}
