package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"islet/appliance/backup"
	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
	"islet/appliance/pki"
)

// sealedSite is a backup on disk, and the file with its key.
type sealedSite struct{ file, key string }

func newSealedSite(t *testing.T) sealedSite {
	t.Helper()
	dir := t.TempDir()
	store, err := pki.Open(dir+"/pki", time.Time{}, nil)
	if err == nil {
		_, _, err = store.ServiceAccountKey()
	}
	if err == nil {
		_, err = store.Secret("encryption", 32)
	}
	if err != nil {
		t.Fatal(err)
	}
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s := sealedSite{dir + "/plant.islet-backup", dir + "/recovery.key"}
	for path, content := range map[string]string{dir + "/config.yaml": defaultAnswers, dir + "/state.db": "SQLite format 3\x00", s.key: key.Secret() + "\n"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := backup.WriteFile(t.Context(), s.file, key.Recipient(), backup.Source{
		Manifest: backup.Manifest{Site: "plant", Node: "node1", Address: netip.MustParseAddr("192.0.2.11"), Appliance: "v0.1.0", Created: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC), Datastore: backup.Datastore{Kind: "sqlite"}},
		Config:   dir + "/config.yaml", PKI: dir + "/pki", Database: dir + "/state.db",
	}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBackupVerify(t *testing.T) {
	t.Parallel()
	s, other := newSealedSite(t), newSealedSite(t)
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	got := decode[backupChecked](t, mustCall(t, "backup", "verify", s.file, "--key", s.key, "-o", "json").out)
	if got.File != s.file || got.DatabaseChecked || got.Manifest.Site != "plant" || len(got.Manifest.Files) < 14 {
		t.Errorf("%+v", got)
	}
	if text := mustCall(t, "backup", "verify", s.file, "--key", s.key).out; !strings.Contains(text, "site plant, node node1 at 192.0.2.11") || !strings.Contains(text, "no store engine") {
		t.Errorf("%s", text)
	}
	secret, err := os.ReadFile(s.key)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want Code
	}{
		"another key":     {[]string{s.file, "--key", other.key}, CodeRecoveryKey},
		"no key at all":   {[]string{s.file, "--key", s.file}, CodeRecoveryKey},
		"an empty input":  {[]string{s.file, "--key", "-"}, CodeRecoveryKey},
		"no such key":     {[]string{s.file, "--key", s.key + "x"}, CodeNoFile},
		"the key itself":  {[]string{s.file, "--key", strings.TrimSpace(string(secret))}, CodeUsage},
		"without a key":   {[]string{s.file}, CodeUsage},
		"no such file":    {[]string{s.file + "x", "--key", s.key}, CodeNoFile},
		"not a backup":    {[]string{s.key, "--key", s.key}, CodeNotBackup},
		"an empty backup": {[]string{empty, "--key", s.key}, CodeBackupCut},
	} {
		got := call(t, "/proc/self/exe", append([]string{"backup", "verify"}, c.args...)...)
		if got.code != c.want || got.out != "" || !strings.HasPrefix(got.err, "error: ") || strings.Contains(got.err, string(secret[20:60])) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestReadKeyFromStandardInput(t *testing.T) {
	t.Parallel()
	key, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	env := NewEnv(Stdio{In: strings.NewReader("# made by age-keygen\n" + key.Secret() + "\n"), Err: new(bytes.Buffer)})
	if got, err := readKey(t.Context(), env, "-"); err != nil || got.Secret() != key.Secret() {
		t.Errorf("%v (%v)", got, err)
	}
}

// On a machine that is no node the site's commands say so, and restore looks at everything before it refuses.
func TestBackupWithoutANode(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(layout.Default().Config()); err == nil {
		t.Skip("this machine is a node")
	}
	want := CodeNotInstalled
	if os.Geteuid() != 0 {
		want = CodeNotRoot
	}
	for _, args := range [][]string{{"key", "create"}, {"key", "show"}, {"create"}, {"list"}} {
		if got := call(t, "/proc/self/exe", append([]string{"backup"}, args...)...); got.code != want || got.out != "" {
			t.Errorf("%q: %+v", args, got)
		}
	}
}

func TestCheckSameMachine(t *testing.T) {
	t.Parallel()
	c := config.Default()
	facts := func(hostname string, addresses ...string) host.Facts {
		f := host.Facts{Hostname: hostname, CPUs: 4, MemoryBytes: 8 << 30}
		for i, a := range addresses {
			f.Interfaces = append(f.Interfaces, host.Interface{
				Name: fmt.Sprintf("eth%d", i), Index: i + 1, Kind: "device", MTU: 1500, Up: true, Physical: true, Addresses: []host.Address{{Prefix: netip.MustParsePrefix(a)}},
			})
		}
		return f
	}
	routed := facts("node1", "192.0.2.12/24", "192.0.2.11/24")
	routed.DefaultRoute = &host.Route{Interface: "eth0"}
	named := c
	named.Node.Name, named.Node.Address = "node1", netip.MustParseAddr("192.0.2.11")
	m := backup.Manifest{Node: "node1", Address: netip.MustParseAddr("192.0.2.11")}
	for name, tc := range map[string]struct {
		config config.Config
		facts  host.Facts
		want   Code
	}{
		"the same":                        {c, facts("node1", "192.0.2.11/24"), CodeOK},
		"named in the answer file":        {named, facts("other", "192.0.2.12/24", "192.0.2.11/24"), CodeOK},
		"another address":                 {c, facts("node1", "192.0.2.12/24"), CodeOtherMachine},
		"another address, named":          {named, facts("node1", "192.0.2.12/24"), CodeOtherMachine},
		"two addresses":                   {c, facts("node1", "192.0.2.11/24", "192.0.2.12/24"), CodeConfig},
		"the other has the default route": {c, routed, CodeOtherMachine},
		"another name":                    {c, facts("node2", "192.0.2.11/24"), CodeOtherMachine},
	} {
		err := checkSameMachine(tc.config, tc.facts, m)
		if CodeOf(err) != tc.want || tc.want == CodeOtherMachine && len(collectAdvice(err, nil)) != 1 {
			t.Errorf("%s: %d: %v", name, CodeOf(err), err)
		}
	}
}

func TestBackupPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	m := backup.Manifest{Site: "plant", Created: time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)}
	const name = "plant-20260601T120000Z.islet-backup"
	for out, want := range map[string]string{
		dir: dir + "/" + name, dir + "/": dir + "/" + name, dir + "/x": dir + "/x", dir + "/none/": "",
	} {
		got, err := (&backupCreateFlags{out: out}).path(m)
		if got != want || want == "" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %s (%v)", out, got, err)
		}
	}
}

func TestPrintBackups(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.Local)
	var out bytes.Buffer
	if err := printBackups(&out, []backupRow{
		{Of: "node1", Created: at.Add(time.Hour), Age: "2s", Bytes: 3 << 20, Path: "/b/n.islet-backup", Copies: []backupCopy{
			{Node: "node1", Verified: true}, {Node: "node2", Verified: true}, {Node: "node3"}, {Node: "node4", Problem: "the backup is cut short"},
		}},
		{Of: "node2", Created: at.Add(time.Minute), Age: "59m2s", Bytes: 3 << 20, Copies: []backupCopy{{Node: "node2", Verified: true}}},
		{Path: "/b/a.islet-backup", Site: "plant", Created: at, Age: "1h0m", Bytes: 3 << 20},
		{Path: "/b/b.islet-backup", Site: "plant", Created: at.Add(-time.Hour), Age: "2h0m", Bytes: 3 << 20, OtherKey: true},
		{Path: "/b/c.islet-backup", Site: "plant", Created: at.Add(-2 * time.Hour), Age: "3h0m", Bytes: 1000, Problem: "the backup is cut short: it has 1000 of 3145728 bytes"},
	}); err != nil {
		t.Fatal(err)
	}
	golden(t, "backups", out.String())
}

func TestWorkDir(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	killed := filepath.Join(parent, "islet-backup-1")
	if err := os.MkdirAll(killed+"/x", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(parent, "islet-backup-link")); err != nil {
		t.Fatal(err)
	}
	one, removeOne, err := workDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	two, removeTwo, err := workDir(parent)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(killed); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a killed command left is still there: %v", err)
	}
	for _, dir := range []string{one, two} {
		if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v %v", info, err)
		}
	}
	if err := errors.Join(removeOne(), removeTwo()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(parent); err != nil || len(left) != 1 {
		t.Errorf("left: %v (%v)", left, err)
	}
}
