package trust

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func sampleKey(class Class) Key {
	public := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey)
	return Key{Name: "sample", Class: class, Public: public}
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	good := sampleKey(Release)
	got, err := ParseKey(" " + good.String() + "\n")
	if err != nil || got.String() != good.String() || got.ID() != good.ID() || len(got.ID()) != 16 {
		t.Errorf("%v, %v", got, err)
	}
	encoded := strings.SplitN(good.String(), ":", 3)[2]
	for name, text := range map[string]string{
		"empty":         "",
		"two fields":    "dev:name",
		"class":         "root:name:" + encoded,
		"empty name":    "dev::" + encoded,
		"name":          "dev:a b:" + encoded,
		"escape":        "dev:\x1b[2J:" + encoded,
		"no base64":     "dev:name:!!",
		"short":         "dev:name:AAAA",
		"long":          "dev:name:" + encoded[:43] + "AAAA=",
		"line break":    "dev:name:" + encoded[:20] + "\n" + encoded[20:],
		"trailing bits": "dev:name:" + encoded[:42] + "B=",
	} {
		if k, err := ParseKey(text); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, %v", name, k, err)
		}
	}
}

func TestRootsList(t *testing.T) {
	t.Parallel()
	a, b := sampleKey(Dev), sampleKey(Release)
	keys, err := parseList(a.String() + "," + b.String() + ",")
	if err != nil || len(keys) != 2 || keys[0].Class != Dev || keys[1].Class != Release {
		t.Errorf("%v, %v", keys, err)
	}
	if keys, err := parseList(""); err != nil || len(keys) != 0 {
		t.Errorf("no list: %v, %v", keys, err)
	}
	if _, err := parseList(a.String() + ",nonsense"); !errors.Is(err, ErrKey) {
		t.Errorf("bad list: %v", err)
	}
}

func TestPairRoundTrip(t *testing.T) {
	t.Parallel()
	for _, class := range []Class{Dev, Release, Site} {
		dir := filepath.Join(t.TempDir(), "keys")
		key, private, public, err := GeneratePair(dir, "mine", class)
		if err != nil {
			t.Fatal(err)
		}
		secret, err := ReadPrivate(private)
		if err != nil || !bytes.Equal(secret.Public().(ed25519.PublicKey), key.Public) {
			t.Errorf("%s: private key: %v", class, err)
		}
		set, err := Load(dir)
		if err != nil || len(set.Lookup(key.ID())) != 1 || set.Keys()[0].Class != class {
			t.Errorf("%s: set %+v, %v", class, set, err)
		}
		for path, mode := range map[string]os.FileMode{private: 0o600, public: 0o644} {
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: mode %v, %v, want %v", path, info.Mode(), err, mode)
			}
			text, err := os.ReadFile(path)
			if marked := bytes.Contains(text, []byte("DEVELOPMENT KEY")); err != nil || marked != (class == Dev) {
				t.Errorf("%s: marked as development: %v, %v", path, marked, err)
			}
		}
		if _, _, _, err := GeneratePair(dir, "mine", class); !errors.Is(err, os.ErrExist) {
			t.Errorf("second pair of one name: %v", err)
		}
	}
	if _, _, _, err := GeneratePair(t.TempDir(), "../mine", Dev); !errors.Is(err, ErrKey) {
		t.Errorf("name with a path: %v", err)
	}
}

func TestReadPrivateFromOpenSSL(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("openssl")
	if err != nil {
		t.Skip("openssl is not installed")
	}
	path := filepath.Join(t.TempDir(), "release.key")
	if out, err := exec.CommandContext(t.Context(), tool, "genpkey", "-algorithm", "ed25519", "-out", path).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := ReadPrivate(path); err != nil {
		t.Error(err)
	}
}

func TestBadKeyFiles(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"empty": "", "comments only": "# nothing\n\n", "bad line": sampleKey(Dev).String() + "\nnonsense\n",
	} {
		path := filepath.Join(t.TempDir(), "x.pub")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(filepath.Dir(path)); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := ReadPrivate(path); !errors.Is(err, ErrKey) {
			t.Errorf("%s as a private key: %v", name, err)
		}
	}
	path := filepath.Join(t.TempDir(), "x.pub")
	if err := os.WriteFile(path, []byte(sampleKey(Dev).String()), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); !errors.Is(err, ErrKey) || !strings.Contains(err.Error(), "0666") {
		t.Errorf("writable by all: %v", err)
	}
	if set, err := Load(filepath.Join(t.TempDir(), "none")); err != nil || len(set.Keys()) != 0 {
		t.Errorf("no directory: %v, %v", set, err)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(sampleKey(Dev).String())
	f.Add("dev:name:AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKey(text)
		if err == nil && k.String() != strings.TrimSpace(text) {
			t.Errorf("%q reads as %q", text, k)
		}
	})
}
