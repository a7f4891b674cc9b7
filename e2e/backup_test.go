package e2e

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/backup"
	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/lab"
)

// TestBackup destroys a site's only server and brings the site back on a bare machine, from a backup and the recovery key.
func TestBackup(t *testing.T) {
	t.Parallel()
	for _, store := range []config.Store{config.StoreSQLite, config.StoreEtcd} {
		t.Run(string(store), func(t *testing.T) {
			t.Parallel()
			destroyAndRestore(t, store)
		})
	}
}

func destroyAndRestore(t *testing.T, store config.Store) {
	name := "b-" + string(store) // labs have short names
	old := machineFor(t, name)
	defer old.diagnose(t)
	key := old.installWithKey(t, store)
	begun := time.Now()
	if err := old.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the server is ready", old.ready)
	t.Logf("ready after %s", time.Since(begun).Round(10*time.Millisecond))
	if err := old.connect(); err != nil {
		t.Fatal(err)
	}
	old.deploySample(t)
	await(t, readyLimit, "the sample application runs", func(ctx context.Context) error { return old.podsReady(ctx, sampleNamespace) })
	old.note(t, "note")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "hidden"}, StringData: map[string]string{"word": "geheim"}}
	if _, err := old.kube.CoreV1().Secrets("default").Create(t.Context(), secret, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	node, err := old.kube.CoreV1().Nodes().Get(t.Context(), "node1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	file := old.backUp(t, key)
	if err := old.lab.Down(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}

	p := machineFor(t, name)
	defer p.diagnose(t)
	p.refuseBackups(t, file, key)
	p.restore(t, file, key)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	for _, url := range p.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return p.sampleAnswers(ctx, t, url) })
	}
	if _, err := p.kube.CoreV1().ConfigMaps("default").Get(t.Context(), "note", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
	if got, err := p.kube.CoreV1().Secrets("default").Get(t.Context(), "hidden", metav1.GetOptions{}); err != nil || string(got.Data["word"]) != "geheim" {
		t.Errorf("the secret cannot be read any more: %v", err)
	}
	if got, err := p.kube.CoreV1().Nodes().Get(t.Context(), "node1", metav1.GetOptions{}); err != nil || got.UID != node.UID {
		t.Errorf("the node is another one: %v", err)
	}
	if code := p.exitCode(t, "backup", "restore", "/root/good", "--key", "/root/key", "--yes"); code != int(cli.CodeExists) {
		t.Errorf("a restoration onto a node: exit code %d", code)
	}
	p.run(t, "appliance", "backup", "create") // with the key that came out of the backup
}

// machineFor makes a bare host. Its boot command is off until it is started.
func machineFor(t *testing.T, name string) *platform {
	t.Helper()
	p := &platform{site: fmt.Sprintf("%s%d-%s", labPrefix, os.Getpid(), name), begun: time.Now()}
	var err error
	takePlace(t, 1)
	p.lab, err = lab.Up(t.Context(), lab.Spec{
		Name: p.site, Executable: executable(t), Hosts: []lab.HostSpec{{Name: "node1", Boot: lab.Service{Args: []string{"appliance", "server"}}}},
	}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := lab.Open(p.site); err != nil {
			return // the test has destroyed it
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if err := p.lab.Down(ctx); err != nil {
			t.Errorf("take the lab down: %v", err)
		}
	})
	p.host = p.lab.Hosts()[0]
	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p
}

// installWithKey sets the host up and returns the recovery key, which is shown the first time only.
func (p *platform) installWithKey(t *testing.T, store config.Store) string {
	t.Helper()
	c := config.Default()
	c.Site.Name, c.Datastore.Store = p.site, store
	answers, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.host.WriteFile("/root/site.yaml", answers, 0o600); err != nil {
		t.Fatal(err)
	}
	type report struct{ RecoveryKey string }
	made := runJSON[report](t, p, "install", "--yes", "--no-start", "--config", "/root/site.yaml")
	if _, err := backup.ParseKey(made.RecoveryKey); err != nil {
		t.Fatalf("install shows no recovery key: %v", err)
	}
	if again := runJSON[report](t, p, "install", "--no-start"); again.RecoveryKey != "" {
		t.Error("a second installation makes another recovery key")
	}
	if code := p.exitCode(t, "backup", "key", "create"); code != int(cli.CodeExists) {
		t.Errorf("a second key: exit code %d", code)
	}
	if code := p.exitCode(t, "backup", "create"); code != int(cli.CodeNoDaemon) {
		t.Errorf("a backup before the first start: exit code %d", code)
	}
	if found := p.run(t, "sh", "-c", "grep -rl "+made.RecoveryKey+" /etc /var /usr/local /root || true"); found != "" {
		t.Errorf("the secret half of the recovery key is in %s", found)
	}
	return made.RecoveryKey
}

// backUp makes a backup and carries it away.
func (p *platform) backUp(t *testing.T, key string) []byte {
	t.Helper()
	begun := time.Now()
	made := runJSON[struct{ Path string }](t, p, "backup", "create")
	t.Logf("backed up in %s", time.Since(begun).Round(10*time.Millisecond))
	type row struct{ Path, Problem string }
	listed := runJSON[[]row](t, p, "backup", "list") // one by the schedule may be there, too
	if !slices.Contains(listed, row{Path: made.Path}) {
		t.Errorf("listed are %+v", listed)
	}
	p.writeKey(t, key)
	verified := runJSON[struct{ DatabaseChecked bool }](t, p, "backup", "verify", made.Path, "--key", "/root/key")
	if !verified.DatabaseChecked {
		t.Error("the database was not checked")
	}
	content, err := p.host.ReadFile(made.Path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(p.host.Path(made.Path)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	return content
}

func (p *platform) writeKey(t *testing.T, key string) {
	t.Helper()
	if err := p.host.WriteFile("/root/key", []byte(key+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// refuseBackups shows what is not restored, and that nothing is left of the attempt.
func (p *platform) refuseBackups(t *testing.T, file []byte, key string) {
	t.Helper()
	other, err := backup.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	altered := append([]byte(nil), file...)
	altered[len(altered)*2/3] ^= 1
	p.writeKey(t, key)
	for path, content := range map[string][]byte{
		"/root/good": file, "/root/cut": file[:len(file)/2], "/root/altered": altered, "/root/other": []byte(other.Secret()), "/root/text": []byte("hello, world"),
	} {
		if err := p.host.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const look = "find /etc /var /usr/local /tmp /run -xdev ! -path '/run/lab*' | sort"
	before := p.run(t, "sh", "-c", look)
	refused := func(name string, want cli.Code, args ...string) {
		t.Helper()
		if code := p.exitCode(t, append([]string{"backup", "restore"}, args...)...); code != int(want) {
			t.Errorf("%s: exit code %d, want %d", name, code, want)
		}
	}
	refused("another key", cli.CodeRecoveryKey, "/root/good", "--key", "/root/other", "--yes")
	refused("no key", cli.CodeRecoveryKey, "/root/good", "--key", "/root/text", "--yes")
	refused("cut short", cli.CodeBackupCut, "/root/cut", "--key", "/root/key", "--yes")
	refused("altered", cli.CodeBackupAltered, "/root/altered", "--key", "/root/key", "--yes")
	refused("not a backup", cli.CodeNotBackup, "/root/text", "--key", "/root/key", "--yes")
	refused("without --yes", cli.CodeUsage, "/root/good", "--key", "/root/key")
	refused("a plan", cli.CodeOK, "/root/good", "--key", "/root/key", "--plan")
	p.run(t, "hostname", "node9")
	refused("another name", cli.CodeOtherMachine, "/root/good", "--key", "/root/key", "--yes")
	p.run(t, "hostname", "node1")
	p.run(t, "sh", "-c", fmt.Sprintf("ip addr add 10.77.0.99/24 dev eth0 && ip addr del %s/24 dev eth0", p.host.Addr()))
	refused("another address", cli.CodeOtherMachine, "/root/good", "--key", "/root/key", "--yes")
	p.run(t, "sh", "-c", fmt.Sprintf("ip addr flush dev eth0 && ip addr add %s/24 dev eth0", p.host.Addr()))
	if after := p.run(t, "sh", "-c", look); after != before {
		t.Errorf("a refused restoration left something behind:\n%s\nwas:\n%s", after, before)
	}
}

// restore kills a restoration a few times before it lets one end, and starts the node.
func (p *platform) restore(t *testing.T, file []byte, key string) {
	t.Helper()
	for _, wait := range []string{"0.1", "0.2", "0.3", "0.4", "0.6"} {
		p.run(t, "sh", "-c", "appliance backup restore /root/good --key /root/key --yes >/dev/null 2>&1 & pid=$!; sleep "+wait+"; kill -9 $pid; wait $pid; true")
	}
	begun := time.Now()
	p.run(t, "appliance", "backup", "restore", "/root/good", "--key", "/root/key", "--yes")
	t.Logf("restored in %s", time.Since(begun).Round(10*time.Millisecond))
	if left := p.run(t, "sh", "-c", "ls -d /tmp/islet-backup-* /var/lib/appliance/restore.partial 2>/dev/null || true"); left != "" {
		t.Errorf("left behind: %s", left)
	}
	begun = time.Now()
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "the restored server is ready", p.ready)
	t.Logf("ready %s after its start", time.Since(begun).Round(10*time.Millisecond))
	await(t, readyLimit, "the pods are back", func(ctx context.Context) error {
		out, err := p.kubectl(ctx, "get", "pods", "-A", "--no-headers")
		if err == nil && (!strings.Contains(out, sampleNamespace) || strings.Contains(out, "0/1")) {
			err = errors.New(out)
		}
		return err
	})
	t.Logf("all pods are back %s after its start", time.Since(begun).Round(10*time.Millisecond))
}
