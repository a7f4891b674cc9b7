package kubeconfig

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
)

// material makes the three files of an access, as their names.
func material(t *testing.T) Access {
	t.Helper()
	dir := t.TempDir()
	a := Access{Server: "https://10.0.0.1:6443", CAFile: filepath.Join(dir, "ca"), CertFile: filepath.Join(dir, "cert"), KeyFile: filepath.Join(dir, "key")}
	for _, path := range []string{a.CAFile, a.CertFile, a.KeyFile} {
		if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

// Both kinds must mean what client-go reads from them.
func TestWrite(t *testing.T) {
	t.Parallel()
	a := material(t)
	for name, c := range map[string]struct {
		write     func(string, Access) error
		ca, caPEM string
	}{
		"reference": {WriteReference, a.CAFile, ""},
		"embedded":  {WriteEmbedded, "", "ca"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "config")
			if err := c.write(path, a); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || info.Mode() != 0o600 {
				t.Errorf("mode %v (%v)", info.Mode(), err)
			}
			config, err := clientcmd.BuildConfigFromFlags("", path)
			if err != nil {
				t.Fatal(err)
			}
			if config.Host != a.Server || config.CAFile != c.ca || string(config.CAData) != c.caPEM {
				t.Errorf("read back as %+v", config)
			}
			if embedded := c.caPEM != ""; embedded != (string(config.CertData) == "cert") || embedded != (string(config.KeyData) == "key") ||
				embedded == (config.CertFile == a.CertFile) || embedded == (config.KeyFile == a.KeyFile) {
				t.Errorf("client certificate read back as %+v", config.TLSClientConfig)
			}
			past := time.Unix(1_000_000_000, 0)
			if err := os.Chtimes(path, past, past); err != nil {
				t.Fatal(err)
			}
			if err := c.write(path, a); err != nil {
				t.Fatal(err)
			}
			if info, err := os.Stat(path); err != nil || !info.ModTime().Equal(past) {
				t.Error("unchanged content was written again")
			}
		})
	}
}

func TestEmbeddedNeedsItsFiles(t *testing.T) {
	t.Parallel()
	a := material(t)
	a.KeyFile = "/no/such/key"
	path := filepath.Join(t.TempDir(), "config")
	if err := WriteEmbedded(path, a); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("half a file was written")
	}
}
