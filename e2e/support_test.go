package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/cli/clitest"
	"islet/appliance/doctor"
	"islet/appliance/lab"
	"islet/appliance/support"
)

const schemas = "../docs/operator/json"

// outputs are what commands print as JSON: nothing that is not documented.
func outputs(t *testing.T, p *platform) {
	for command, args := range map[string][]string{
		"addon list": nil, "backup list": nil, "cert list": nil, "component events": nil, "config show": nil, "config validate": {paths.Config()},
		"doctor": nil, "image list": nil, "node list": nil, "node show": {"node1"}, "preflight": nil, "reset": {"--dry-run"},
		"registry user list": nil, "status": nil, "token create": nil, "token list": nil, "version": nil, "install": {"--plan"},
	} {
		out, err := p.host.Output(t.Context(), append(append([]string{"appliance"}, append(strings.Fields(command), args...)...), "-o", "json")...)
		if _, ran := lab.ExitCode(err); err != nil && !ran {
			t.Fatal(err)
		}
		if err := clitest.FollowsSchema(clitest.SchemaFile(schemas, command), []byte(out)); err != nil {
			t.Errorf("%s: %v\n%.2000s", command, err, out)
		}
	}
	if page := p.run(t, "appliance", "help", "disk-slow"); !strings.Contains(page, "What to do") {
		t.Errorf("the page of a problem is %q", page)
	}
}

// badAnswers are told with every problem and its place, and change nothing on the disk. The node itself writes below its state
// directory, which is another filesystem here, and the configuration of its pod network.
func badAnswers(t *testing.T, p *platform) {
	const path = "/root/bad.yaml"
	bad := "apiVersion: islet.dev/v1alpha1\nkind: Site\nnetwork:\n  mtu: 9\n  podCidr: x\nsite: {name: Plant 7}\n"
	p.run(t, "mkdir", "-p", "/root")
	if err := p.host.WriteFile(path, []byte(bad), 0o600); err != nil {
		t.Fatal(err)
	}
	list := func() string {
		return p.run(t, "sh", "-c", "find / -xdev -newer "+path+" -type f ! -path '/proc/*' ! -path '/sys/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '"+paths.CNIDir+"/*' | sort; sha256sum "+paths.Config())
	}
	before := list()
	for _, args := range [][]string{{"install", "--config", path, "--yes", "--force"}, {"install", "--config", path, "--plan"}, {"config", "validate", path}} {
		out, err := p.host.Output(t.Context(), append([]string{"appliance"}, args...)...)
		if code, _ := lab.ExitCode(err); code != int(cli.CodeConfig) {
			t.Errorf("%q: exit code %d, want %d", args, code, cli.CodeConfig)
		}
		for _, want := range []string{path + ":4:8: network.mtu: ", path + ":5:3: network.podCidr: unknown field; did you mean podCIDR?", path + ":6:14: site.name: "} {
			if !strings.Contains(out+err.Error(), want) {
				t.Errorf("%q lacks %q: %s %v", args, want, out, err)
			}
		}
	}
	if after := list(); after != before {
		t.Errorf("files were changed:\n%s\nbefore:\n%s", after, before)
	}
	p.run(t, "rm", path)
}

// supportBundle collects a running platform in which secrets lie about.
func supportBundle(t *testing.T, p *platform) {
	ns := p.namespace(t, "e2e-support")
	const value = "e2e-PLANTED-value"
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "planted"}, Spec: corev1.PodSpec{
		NodeName: "none", Containers: []corev1.Container{{Name: "a", Image: "x", Env: []corev1.EnvVar{{Name: "PLAIN", Value: value}}, Args: []string{"--password=" + value}}},
	}}
	if _, err := p.kube.CoreV1().Secrets(ns).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "planted"}, StringData: map[string]string{"key": value}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.kube.CoreV1().ConfigMaps(ns).Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "planted"}, Data: map[string]string{"key": value}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.kube.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil && !strings.Contains(err.Error(), "forbidden") {
		t.Fatal(err)
	}
	token := runJSON[struct {
		Token string `json:"token"`
	}](t, p, "token", "create").Token
	key, err := p.host.ReadFile(filepath.Join(paths.PKI(), "cluster-ca.key"))
	if err != nil {
		t.Fatal(err)
	}
	encryption, err := p.host.ReadFile(filepath.Join(paths.PKI(), "encryption.secret"))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(key), "\n")
	log := strings.Join([]string{"joined with " + token, "password=" + value, string(key), "a line of it: " + lines[1], base64.StdEncoding.EncodeToString(key), "kept"}, "\n") + "\n"
	if err := p.host.WriteFile(filepath.Join(paths.Logs(), "planted.log"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	files, m := p.supportBundle(t)
	t.Logf("%d files, %d bytes, in %s", len(m.Files), m.Bytes, time.Since(begun).Round(time.Millisecond))
	for name, text := range files {
		for _, secret := range []string{value, token, token[len(token)-20:], lines[1], base64.StdEncoding.EncodeToString(key)[:80], base64.StdEncoding.EncodeToString(encryption)} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret: %.20s...", name, secret)
			}
		}
	}
	for name, want := range map[string]string{
		"logs/planted.log": "kept", "node/status.json": `"ready": true`, "node/site.json": "node1", "kubernetes/nodes.json": "node1", "kubernetes/pods.json": "coredns", "network/nftables": "table", "versions.json": "bundle",
		"kubernetes/configmaps": "planted", "host/mounts": "/var/lib", "doctor.json": "findings", "node/config.yaml": p.site,
	} {
		if !strings.Contains(files[name], want) {
			t.Errorf("%s lacks %q: %.300q", name, want, files[name])
		}
	}
}

// examinedWhileDown is what an operator has while the daemon is down.
func examinedWhileDown(t *testing.T, p *platform) {
	t.Helper()
	out, err := p.host.Output(t.Context(), "appliance", "doctor", "-o", "json")
	if code, _ := lab.ExitCode(err); code != int(cli.CodeUnhealthy) {
		t.Errorf("doctor without a daemon: exit code %d, want %d", code, cli.CodeUnhealthy)
	}
	var report doctor.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	i := slices.IndexFunc(report.Findings, func(f doctor.Finding) bool { return f.ID == "daemon" })
	if i < 0 || report.Findings[i].Severity != doctor.Critical || report.Findings[i].Since == nil || report.Findings[i].Advice == "" {
		t.Errorf("doctor does not tell that the daemon is down: %s", out)
	}
	for _, f := range report.Findings {
		if f.ID == "datastore-file" && !strings.Contains(f.Found, "passes its check") {
			t.Errorf("the database was not checked: %+v", f)
		}
	}
	begun := time.Now()
	files, m := p.supportBundle(t)
	t.Logf("%d files while everything is down, in %s", len(m.Files), time.Since(begun).Round(time.Millisecond))
	for _, name := range []string{"logs/kubelet.log", "node/config.yaml", "host/facts.json", "network/links", "doctor.json"} {
		if files[name] == "" {
			t.Errorf("%s is not in the bundle", name)
		}
	}
	if !slices.ContainsFunc(m.LeftOut, func(o support.Omitted) bool {
		return o.Name == "node/status.json" && strings.Contains(o.Reason, "does not answer")
	}) {
		t.Errorf("the manifest does not tell that there is no status: %+v", m.LeftOut)
	}
}

// supportBundle makes one in the host, and unpacks it.
func (p *platform) supportBundle(t *testing.T) (files map[string]string, m support.Manifest) {
	t.Helper()
	const path = "/root/support.tar.gz"
	p.run(t, "sh", "-c", "mkdir -p /root && appliance support-bundle --out "+path)
	content, err := p.host.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "rm", path)
	zip, err := gzip.NewReader(bytes.NewReader(content))
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
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(h.Name, "/")
		files[name] = string(text)
	}
	if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
		t.Fatal(err)
	}
	return files, m
}
