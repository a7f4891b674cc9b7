package datastore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"islet/appliance/datastore"
)

func TestCredentials(t *testing.T) {
	t.Parallel()
	given, first, second := t.TempDir(), t.TempDir(), t.TempDir()
	c := datastore.Credentials{Password: filepath.Join(given, "p"), CA: filepath.Join(given, "ca")}
	if _, err := c.Keep(first); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("nothing is there: %v", err)
	}
	put := func(path, content string, mode os.FileMode) {
		t.Helper()
		if err := errors.Join(os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
	}
	put(c.Password, "secret", 0o640)
	put(c.CA, "authority", 0o644)
	if _, err := c.Keep(first); !errors.Is(err, datastore.ErrOpenFile) {
		t.Errorf("others may read the password: %v", err)
	}
	put(c.Password, "secret", 0o600)
	kept, err := c.Keep(first)
	if err != nil || kept.Cert != "" || kept.Password == c.Password {
		t.Fatalf("%+v (%v)", kept, err)
	}
	files, err := datastore.ReadCredentials(first)
	if err != nil || len(files) != 2 {
		t.Fatalf("%v (%v)", files, err)
	}
	if err := datastore.WriteCredentials(second, files); err != nil {
		t.Fatal(err)
	}
	put(c.Password, "changed", 0o600)
	if _, err := c.Keep(first); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.Remove(c.Password), os.Remove(c.CA)); err != nil { // the other server has them from the site
		t.Fatal(err)
	}
	for dir, want := range map[string]string{first: "changed", second: "secret"} {
		kept, err := c.Keep(dir)
		content, readErr := os.ReadFile(kept.Password)
		info, statErr := os.Stat(kept.Password)
		if err = errors.Join(err, readErr, statErr); err != nil || string(content) != want || info.Mode().Perm() != 0o600 {
			t.Errorf("%q, want %q (%v)", content, want, err)
		}
	}
}

func TestNote(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "external.json")
	for content, sound := range map[string]bool{
		`{"endpoint":"postgres://islet@192.0.2.9/islet","found":{"revision":7}}`: true, `{}`: false, `no JSON`: false,
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		report, err := datastore.CheckNote(path)
		if (err == nil) != sound || sound && report.Revision != 7 || !sound && !errors.Is(err, datastore.ErrDamaged) {
			t.Errorf("%s: %+v (%v)", content, report, err)
		}
	}
}
