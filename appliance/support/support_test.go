package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"islet/appliance/layout"
	"islet/appliance/redact"
)

// unpack reads a bundle as anybody's tar would.
func unpack(t *testing.T, file string) (files map[string]string, m Manifest) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimPrefix(h.Name, "support-x/")] = string(content)
	}
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatalf("%v in %q", err, files["manifest.json"])
	}
	return files, m
}

func options(t *testing.T) Options {
	t.Helper()
	return Options{
		Out: filepath.Join(t.TempDir(), "x.tar.gz"), Name: "support-x", MaxBytes: 8 << 20, Now: time.Now(), Redactor: redact.New(nil),
	}
}

func says(text string) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestWhatFailsIsNamed(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Notes = []string{"a note"}
	o.Sources = []Source{
		{"good", says("password=hunter22hunter\nok\n")},
		{"half", func(_ context.Context, w io.Writer) error {
			_, _ = io.WriteString(w, "half\n")
			return errors.New("then it broke: token=hunter22hunter")
		}},
		{"none", func(context.Context, io.Writer) error { return ErrNotHere }},
		{"silent", says("")},
		{"large", func(_ context.Context, w io.Writer) error {
			for range 3 {
				_, _ = w.Write(bytes.Repeat([]byte(strings.Repeat(" x", 511)+" \n"), 16<<10))
			}
			return nil
		}},
	}
	if _, err := Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	files, m := unpack(t, o.Out)
	if files["good"] != "password=[REDACTED]\nok\n" || files["half"] != "half\n" || len(files["large"]) != 32<<20 {
		t.Errorf("files are %.80q %.80q %d", files["good"], files["half"], len(files["large"]))
	}
	if len(m.Files) != 3 || m.Files[0].Redacted != 1 || !strings.Contains(m.Files[1].Problem, "then it broke: token=[REDACTED]") || !strings.Contains(m.Files[2].Problem, "more than 32 MiB") || m.Notes[0] != "a note" {
		t.Errorf("%+v", m)
	}
	if len(m.LeftOut) != 2 || m.LeftOut[0] != (Omitted{"none", "not on this machine"}) || m.LeftOut[1].Name != "silent" {
		t.Errorf("%+v", m.LeftOut)
	}
	info, err := os.Stat(o.Out)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v (%v)", info.Mode(), err)
	}
}

// The biggest and the oldest logs give way, and what was cut says so.
func TestCap(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	noise := rand.NewChaCha8([32]byte{1})
	lines := func(bytes int) string {
		var b strings.Builder
		raw := make([]byte, 36)
		for b.Len() < bytes {
			_, _ = noise.Read(raw)
			b.WriteString(base64.StdEncoding.EncodeToString(raw) + "\n")
		}
		return b.String()
	}
	old := time.Now().Add(-48 * time.Hour)
	for name, size := range map[string]int{"small.log": 10 << 10, "big.log": 3 << 20, "bigger.log": 4 << 20, "big.log.1": 3 << 20, "ancient.log": 9} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(lines(size)), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "ancient.log" {
			if err := os.Chtimes(path, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	o := options(t)
	o.MaxBytes = 2 << 20
	o.Sources = []Source{{"first", says("first\n")}}
	o.Logs = FindLogs(dir, "logs", time.Now().Add(-24*time.Hour), nil)
	if _, err := Write(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(o.Out)
	if err != nil || info.Size() > o.MaxBytes || info.Size() < o.MaxBytes*3/4 {
		t.Errorf("%d bytes of at most %d (%v)", info.Size(), o.MaxBytes, err)
	}
	files, m := unpack(t, o.Out)
	cut := map[string]string{}
	for _, f := range m.Files {
		cut[f.Name] = f.Cut
	}
	for name, whole := range map[string]bool{"first": true, "logs/small.log": true, "logs/big.log": false, "logs/bigger.log": false} {
		if text, here := files[name]; !here || (cut[name] == "") != whole || text == "" {
			t.Errorf("%s is there: %t, cut: %q", name, here, cut[name])
		}
	}
	content, err := os.ReadFile(filepath.Join(dir, "bigger.log"))
	if err != nil || !strings.HasSuffix(string(content), "\n"+files["logs/bigger.log"]) {
		t.Error("what is kept of a log is not its end, from the beginning of a line")
	}
	if _, here := files["logs/ancient.log"]; here {
		t.Error("an ancient log was collected")
	}
	if len(files["logs/big.log.1"]) >= len(files["logs/big.log"])/2 {
		t.Errorf("an older part got %d bytes", len(files["logs/big.log.1"]))
	}
	if text, here := files["logs/big.log.1"]; !here && (len(m.LeftOut) != 1 || !strings.Contains(m.LeftOut[0].Reason, "no room")) || here && text == "" {
		t.Errorf("%+v", m.LeftOut)
	}
}

func TestNothingIsLeftBehindByAnInterruption(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	o := options(t)
	o.Sources = []Source{{"a", says("a")}, {"b", func(context.Context, io.Writer) error { cancel(); return nil }}, {"c", says("c")}}
	if _, err := Write(ctx, o); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	left, err := os.ReadDir(filepath.Dir(o.Out))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind %v (%v)", left, err)
	}
	o.MaxBytes = LeastBytes - 1
	if _, err := Write(t.Context(), o); err == nil {
		t.Error("a cap without room was accepted")
	}
}

// Secrets are planted wherever a node keeps, logs or passes them; none may be in the bundle.
func TestPlantedSecretsAreNotInTheBundle(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	l := layout.Layout{EtcDir: root + "/etc/appliance", StateDir: root + "/var", RunDir: root + "/run", CNIDir: root + "/cni"}
	body := base64.StdEncoding.EncodeToString([]byte("PLANTED-key-body-of-a-private-key-of-this-very-node-0123456789"))
	key := "-----BEGIN EC PRIVATE KEY-----\n" + body + "\n-----END EC PRIVATE KEY-----\n"
	raw := "PLANTED-encryption-secret-32byte"
	hash := strings.Repeat("a1b2c3d4", 8)
	kubeconfig := "users:\n- name: a\n  user:\n    client-key-data: " + base64.StdEncoding.EncodeToString([]byte(key)) + "\n    token: PLANTEDkubeconfigtoken\n"
	token := "islet-040g220a-9m00p6dn-7dfzvy79-7jzsr2fm-0qdnz145-bfn8aeh7-pd39zwdr-6csksn0"
	jwt := "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJQTEFOVEVEIn0.UExBTlRFRHNpZ25hdHVyZQ"
	age := "AGE-SECRET-KEY-1NXCQRVZJWX2Q8VY8DMKTN6485LP7AYMG80DRZDXVEQVPX02TSW4QLLKG8J"
	logLines := strings.Join([]string{
		"joined with " + token, "typed " + strings.ToUpper(strings.ReplaceAll(token, "-", " ")), "recovery " + age, "Authorization: Bearer " + jwt, "got " + jwt,
		key, "one line of it " + body, `{"password":"PLANTEDjson"}`, "proxy http://user:PLANTEDurl@host:1", "hash " + hash, kubeconfig,
		"kubectl --token PLANTEDoption get x", "PASSWORD=PLANTEDenv x", `msg="login" secret=PLANTEDattr`, "base64 " + base64.StdEncoding.EncodeToString([]byte(raw)), "connected with PLANTEDdatabase",
	}, "\n") + "\n"
	for path, content := range map[string]string{
		l.PKI() + "/node.key": key, l.PKI() + "/encryption.secret": raw, l.PKI() + "/database.password": "PLANTEDdatabase\n", l.PKI() + "/node.crt": "certificate", l.AdminKubeconfig(): kubeconfig,
		l.Kubeconfigs() + "/kubelet.kubeconfig": kubeconfig, l.Generated() + "/registry/users.json": fmt.Sprintf(`{"press":{"hash":%q,"push":true}}`, hash),
		l.Generated() + "/kube-apiserver/encryption.yaml": "secret: " + base64.StdEncoding.EncodeToString([]byte(raw)) + "\n",
		l.Generated() + "/containerd/config.toml":         "[auth]\n  password = \"PLANTEDtoml\"\nkept = 1\n",
		l.Config():                      "site: {name: a}\nregistryPassword: PLANTEDyaml\n",
		l.Journal() + "/machine.json":   `{"before":{"token":"PLANTEDjournal"}}`,
		l.Servers():                     `{"node":["10.0.0.1:9443"]}`,
		l.CNIDir + "/00-islet.conflist": `{"name":"islet"}`,
		l.Logs() + "/kubelet.log":       logLines,
		l.Logs() + "/audit/audit.log":   logLines,
		root + "/proc/cmdline":          "root=/dev/sda password=PLANTEDboot\n",
		root + "/proc/42/status":        "Name:\tx\n", root + "/proc/42/cmdline": "psql\x00--password\x00PLANTEDprocess\x00",
		root + "/etc/os-release": "NAME=Debian\n", root + "/etc/hosts": "10.0.0.1 a\n",
		l.Bin() + "/journalctl": "#!/bin/sh\ncat <<'EOF'\n" + logLines + "EOF\n",
		l.Bin() + "/ip":         "#!/bin/sh\necho broken: secret=PLANTEDcomplaint >&2\nexit 1\n",
		l.Bin() + "/kubectl":    "#!/bin/sh\ncase $* in *\"get pods\"*) ;; *) echo token: PLANTEDtext; exit;; esac\ncat <<'EOF'\n" + `{"items":[{"metadata":{"name":"kept","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"PLANTEDapplied"}},"spec":{"containers":[{"env":[{"name":"HARMLESS","value":"PLANTEDpod"}],"args":["--token=PLANTEDargument"]}]}}]}` + "\nEOF\n",
	} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	o := options(t)
	o.Redactor = redact.New(Secrets(l))
	o.Sources = append(Host(l, root, time.Now().Add(-time.Hour)), Kubernetes(Kubectl{Program: l.Bin() + "/kubectl"})...)
	o.Sources = append(o.Sources, Source{"status.json", says(`{"reason":"token=PLANTEDstatus"}`)})
	o.Logs = FindLogs(l.Logs(), "logs", time.Now().Add(-time.Hour), nil)
	m, err := Write(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	files, _ := unpack(t, o.Out)
	secrets := []string{"PLANTED", body, raw, hash, token[20:40], strings.ToUpper(strings.ReplaceAll(token[20:40], "-", " ")), jwt, age, age[20:40],
		base64.StdEncoding.EncodeToString([]byte(raw)), base64.StdEncoding.EncodeToString([]byte(key))[:60]}
	for name, text := range files {
		for _, secret := range secrets {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
	}
	manifest, err := json.Marshal(m)
	if err != nil || strings.Contains(string(manifest), "PLANTED") {
		t.Error("the manifest holds a secret")
	}
	// A bundle that holds nothing would pass all that.
	for name, want := range map[string]string{
		"logs/kubelet.log": "joined with", "host/journal": "Authorization", "node/config.yaml": "site: {name: a}", "kubernetes/pods.json": `"name": "kept"`,
		"host/processes": "psql --password", "node/generated/containerd/config.toml": "kept = 1", "node/journal/machine.json": "before", "node/net.d/00-islet.conflist": "islet",
	} {
		if name == "node/net.d/00-islet.conflist" {
			name = "node/" + filepath.Base(l.CNIDir) + "/00-islet.conflist"
		}
		if !strings.Contains(files[name], want) {
			t.Errorf("%s lacks %q: %.300q", name, want, files[name])
		}
	}
	for _, never := range []string{"users.json", "encryption.yaml", ".kubeconfig", ".key", ".secret"} {
		for name := range files {
			if strings.HasSuffix(name, never) {
				t.Errorf("%s was collected", name)
			}
		}
	}
}
