package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/config"
	"islet/appliance/pki"
)

// TestCertificates makes a site of three servers and an agent, lets it sleep for longer than its certificates live, and
// gives it new authorities while it works.
func TestCertificates(t *testing.T) {
	all := bootSite(t, "certs", 4, func(c *config.Config) {
		c.Datastore.Store = config.StoreEtcd
	})
	f := &fleet{servers: all[:3], agents: all[3:]}
	runParts(t, f, all, []part[fleet]{
		{"assemble", (*fleet).gather},
		{"400 days later", (*fleet).oversleep},
		{"rotation", (*fleet).rotate},
		{"rotation under cuts", (*fleet).rotateUnderCuts},
	})
}

const keeperNamespace = "e2e-keep"

// gather makes the site, with the sample application and a pod that keeps data on the agent.
func (f *fleet) gather(t *testing.T) {
	first, agent := f.servers[0], f.agents[0]
	await(t, readyLimit, "the first server is ready", first.ready)
	f.join(t, config.RoleServer, f.servers[1:]...)
	f.join(t, config.RoleAgent, f.agents...)
	for _, p := range f.all() {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
	f.awaitWhole(t)
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	first.deploySample(t)
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: keeperNamespace}} // it outlives this part
	if _, err := first.kube.CoreV1().Namespaces().Create(t.Context(), namespace, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	keeper := first.startPod(t, newPod(keeperNamespace, "keeper", withClaim("data"), func(p *corev1.Pod) {
		p.Spec.NodeSelector = map[string]string{corev1.LabelHostname: agent.host.Name()}
		p.Spec.Volumes[0].VolumeSource = corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}} // goes with this very pod
	}))
	if _, err := send(t.Context(), agent.inside(), http.MethodPut, podURL(keeper)+"files/note", "kept"); err != nil {
		t.Fatal(err)
	}
	f.answers(t)
}

// answers waits until the sample application answers in every way, the keeper has what it was given, and the ways through
// the kubelets and the metrics API are open.
func (f *fleet) answers(t *testing.T) {
	t.Helper()
	first := f.servers[0]
	for _, url := range first.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return first.sampleAnswers(ctx, t, url) })
	}
	keeper := first.awaitPod(t, keeperNamespace, "keeper")
	await(t, readyLimit, "the keeper's data", func(ctx context.Context) error {
		got, err := send(ctx, f.agents[0].inside(), http.MethodGet, podURL(keeper)+"files/note", "")
		if err == nil && got != "kept" {
			err = fmt.Errorf("it has %q", got)
		}
		return err
	})
	await(t, readyLimit, "exec on the agent", func(ctx context.Context) error { return first.reaches(ctx, keeper, podURL(keeper), "keeper") })
	await(t, readyLimit, "metrics of all nodes", func(ctx context.Context) error {
		out, err := first.kubectl(ctx, "top", "nodes", "--no-headers")
		if err == nil && len(strings.Split(strings.TrimSpace(out), "\n")) != len(f.all()) {
			err = fmt.Errorf("of some only: %s", out)
		}
		return err
	})
}

// pods are the pods by name, with the identities that a new one of the same name would not have.
func (f *fleet) pods(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, namespace := range append([]string{keeperNamespace}, lasting...) {
		pods, err := f.servers[0].kube.CoreV1().Pods(namespace).List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods.Items {
			all[namespace+"/"+p.Name] = string(p.UID) + " on " + p.Spec.NodeName
		}
	}
	return all
}

const sleep = 400 * 24 * time.Hour

// oversleep cuts the power of the whole site, and lets all certificates be as old as if it came back 400 days later. A
// clock cannot be set for a lab alone, and what Go programs ask the kernel no library can answer for it; so the dates go
// back in place of the clock going ahead. They are all that has dates besides:
//   - tokens in pods, which lie in memory: after a power cut each kubelet asks for new ones, however old the last were;
//   - leases and events, which are as stale after a minute as after a year;
//   - join tokens, which are refused for their dates in any case.
func (f *fleet) oversleep(t *testing.T) {
	before := f.pods(t)
	f.while(t, "before the sleep", func() { <-time.After(3 * time.Second) })
	f.ageSecrets(t)
	var ending sync.WaitGroup
	for _, p := range f.all() {
		ending.Go(func() {
			if err := p.host.Kill(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	ending.Wait()
	made := newAging(t, f.servers[0].host.Path(paths.PKI()))
	for _, p := range f.all() {
		n := made.host(t, p)
		t.Logf("%s: %d certificates are %d days older", p.host.Name(), n, int(sleep.Hours()/24))
	}
	begun := time.Now()
	for _, p := range f.all() {
		if err := p.host.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range f.all() {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
	f.awaitWhole(t)
	t.Logf("the site is ready %s after its power came back", time.Since(begun).Round(10*time.Millisecond))
	f.renewed(t)
	if err := f.servers[0].connect(); err != nil { // with the new certificate
		t.Fatal(err)
	}
	f.answers(t)
	if after := f.pods(t); !maps.Equal(before, after) {
		t.Errorf("the pods are\n%v\nand were\n%v", after, before)
	}
	f.while(t, "after the sleep", func() { <-time.After(3 * time.Second) }) // looks for what was written before, too
	t.Logf("everything works %s after the power came back", time.Since(begun).Round(10*time.Millisecond))
}

// renewed waits until no certificate of any node is due.
func (f *fleet) renewed(t *testing.T) {
	t.Helper()
	type certificate struct {
		Node     string
		DaysLeft int
	}
	awaitJSON(t, readyLimit, "all certificates are new", f.servers[0], []string{"cert", "list"}, func(list []certificate) error {
		nodes, least := map[string]bool{}, 365
		for _, c := range list {
			nodes[c.Node] = true
			least = min(least, c.DaysLeft)
		}
		if len(nodes) != len(f.all())+1 || least < 360 { // the site's authorities are listed by themselves
			return fmt.Errorf("%d days are left, on %v", least, slices.Sorted(maps.Keys(nodes)))
		}
		return nil
	})
}

// aging makes certificates as old as sleep, with the same keys and names and by the same authorities.
type aging struct {
	keys  map[string]crypto.Signer     // of the authorities, by subject
	certs map[string]*x509.Certificate // of the authorities, older, by subject
}

func newAging(t *testing.T, dir string) aging {
	t.Helper()
	a := aging{map[string]crypto.Signer{}, map[string]*x509.Certificate{}}
	for _, name := range pki.AuthorityNames() {
		cert, err := pki.LoadCert(filepath.Join(dir, name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(readFile(t, filepath.Join(dir, name+".key")))
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		subject := cert.Subject.String()
		a.keys[subject], a.certs[subject] = key.(crypto.Signer), cert
		if a.certs[subject], err = x509.ParseCertificate(a.sign(t, cert)); err != nil {
			t.Fatal(err)
		}
	}
	return a
}

func (a aging) sign(t *testing.T, cert *x509.Certificate) []byte {
	t.Helper()
	older, issuer := *cert, cert.Issuer.String()
	older.NotBefore, older.NotAfter = cert.NotBefore.Add(-sleep), cert.NotAfter.Add(-sleep)
	raw, err := x509.CreateCertificate(rand.Reader, &older, a.certs[issuer], cert.PublicKey, a.keys[issuer])
	if err != nil {
		t.Fatalf("%s: %v", cert.Subject, err)
	}
	return raw
}

// pem makes the PEM of an older certificate of one of the site's.
func (a aging) pem(t *testing.T, content []byte) []byte {
	t.Helper()
	block, _ := pem.Decode(content)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	raw := a.sign(t, cert)
	if authority := a.certs[cert.Subject.String()]; cert.IsCA {
		raw = authority.Raw // the same one everywhere
	} else if time.Now().Before(cert.NotAfter.Add(-sleep)) {
		t.Errorf("%s does not expire within %s", cert.Subject, sleep)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw})
}

// host replaces all certificates on the disk of a host that is off, and those in its operator's kubeconfig.
func (a aging) host(t *testing.T, p *platform) int {
	t.Helper()
	files, err := filepath.Glob(p.host.Path(filepath.Join(paths.PKI(), "*.crt")))
	if err != nil {
		t.Fatal(err)
	}
	kubeconfig := p.host.Path(paths.AdminKubeconfig())
	embedded, err := os.ReadFile(kubeconfig)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // an agent has none
		t.Fatal(err)
	}
	for _, path := range files {
		content := readFile(t, path)
		older := a.pem(t, content)
		writeFile(t, path, older)
		encode := func(b []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(b)) }
		embedded = bytes.ReplaceAll(embedded, encode(content), encode(older))
	}
	if len(embedded) > 0 {
		writeFile(t, kubeconfig, embedded)
	}
	return len(files)
}

// ageSecrets replaces the certificates that workloads serve with.
func (f *fleet) ageSecrets(t *testing.T) {
	t.Helper()
	first := f.servers[0]
	a := newAging(t, first.host.Path(paths.PKI()))
	secrets := first.kube.CoreV1().Secrets("islet-system")
	list, err := secrets.List(t.Context(), metav1.ListOptions{FieldSelector: "type=" + string(corev1.SecretTypeTLS)})
	if err != nil || len(list.Items) == 0 {
		t.Fatalf("%d certificates in secrets (%v)", len(list.Items), err)
	}
	for _, s := range list.Items {
		s.Data[corev1.TLSCertKey] = a.pem(t, s.Data[corev1.TLSCertKey])
		if _, err := secrets.Update(t.Context(), &s, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// writeFile replaces the content of a file that is there, and leaves its mode as it is.
func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
