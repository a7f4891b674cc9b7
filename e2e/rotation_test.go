package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"islet/appliance/api"
	"islet/appliance/cli"
	"islet/appliance/join"
	"islet/appliance/pki"
)

// rotationLimit is how long a rotation may take on a machine that is busy with something else.
const rotationLimit = 10 * time.Minute

// user asks again and again, and counts.
type user struct {
	asked  int
	errors []string
}

func (u *user) run(ctx context.Context, ask func(context.Context) error) {
	for ctx.Err() == nil {
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err := ask(attempt)
		cancel()
		if ctx.Err() != nil {
			return
		}
		u.asked++
		if err != nil {
			u.errors = append(u.errors, time.Now().Format(time.TimeOnly)+" "+err.Error())
		}
		awaitTick(ctx)
	}
}

// asking has users at work while something happens: of the API through the agent's balancer, and of the sample application
// through the gateways of a server and of the agent. No request may fail.
func (f *fleet) asking(t *testing.T, do func()) {
	t.Helper()
	first, agent := f.servers[0], f.agents[0]
	urls := first.sampleURLs()
	users := map[string]*user{"API through the agent's balancer": {}, "HTTP on a server": {}, "HTTPS on a server": {}, "HTTPS on the agent": {}}
	asks := map[string]func(context.Context) error{
		"API through the agent's balancer": f.operator(t),
		"HTTP on a server":                 func(ctx context.Context) error { return first.sampleAnswers(ctx, t, urls[0]) },
		"HTTPS on a server":                func(ctx context.Context) error { return first.sampleAnswers(ctx, t, urls[2]) },
		"HTTPS on the agent":               func(ctx context.Context) error { return agent.sampleAnswers(ctx, t, urls[2]) },
	}
	ctx, stop := context.WithCancel(t.Context())
	var working sync.WaitGroup
	for name, u := range users {
		working.Go(func() { u.run(ctx, asks[name]) })
	}
	do()
	stop()
	working.Wait()
	for name, u := range users {
		t.Logf("%s: %d requests, %d failed", name, u.asked, len(u.errors))
		if len(u.errors) > 0 || u.asked == 0 {
			t.Errorf("%s: failed:\n%s", name, strings.Join(u.errors[:min(len(u.errors), 10)], "\n"))
		}
	}
}

// operator asks the API at the agent's balancer, with the operator's kubeconfig as it is on a server then.
func (f *fleet) operator(t *testing.T) func(context.Context) error {
	var (
		with   []byte
		client kubernetes.Interface
	)
	return func(ctx context.Context) error {
		now, err := f.servers[0].host.ReadFile(paths.AdminKubeconfig())
		if err != nil {
			return err
		}
		if !bytes.Equal(with, now) {
			config, err := clientcmd.RESTConfigFromKubeConfig(now)
			if err != nil {
				return err
			}
			config.Host, config.Dial, config.QPS = "https://127.0.0.1:6443", f.agents[0].host.Dial, -1
			if client, err = kubernetes.NewForConfig(config); err != nil {
				return err
			}
			with = now
		}
		_, err = client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceDefault, metav1.GetOptions{})
		return err
	}
}

// rotate gives the site six new authorities, with users at work.
func (f *fleet) rotate(t *testing.T) {
	first, agent := f.servers[0], f.agents[0]
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	was := f.remember(t)
	token := runJSON[struct{ ID string }](t, first, "token", "create")
	plan := runJSON[struct{ Servers, Agents, Absent, Tokens []string }](t, first, "cert", "rotate-ca", "--plan")
	if len(plan.Servers) != 3 || len(plan.Agents) != 1 || len(plan.Absent) > 0 || !slices.Contains(plan.Tokens, token.ID) {
		t.Errorf("plan %+v", plan)
	}
	if code := agent.exitCode(t, "cert", "rotate-ca", "--yes"); code != int(cli.CodeNotServer) {
		t.Errorf("on an agent: exit code %d", code)
	}
	if code := first.exitCode(t, "cert", "rotate-ca", "no-ca"); code != int(cli.CodeUsage) {
		t.Errorf("of an authority that there is not: exit code %d", code)
	}
	unchanged := first.watchRuns(t)
	f.asking(t, func() {
		begun := time.Now()
		out, err := first.host.Output(t.Context(), "appliance", "cert", "rotate-ca", "--yes", "--overlap", "20s", "--wait", rotationLimit.String())
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		t.Logf("rotated in %s: %s", time.Since(begun).Round(time.Second), out)
		for _, p := range f.all() {
			await(t, readyLimit, p.host.Name()+" is ready", p.ready)
		}
	})
	if err := first.connect(); err != nil { // as an operator who takes the new kubeconfig
		t.Fatal(err)
	}
	unchanged()
	f.certificates(t, was)
	f.refused(t, was)
	for _, listed := range runJSON[[]join.Record](t, first, "token", "list") {
		if listed.ID == token.ID && listed.Revoked == nil {
			t.Error("the token of before was not revoked")
		}
	}
	f.published(t, was)
	f.extensions(t, was)
	f.answers(t)
}

// memory is what there was before a rotation.
type memory struct {
	authorities map[string]*x509.Certificate
	pairs       map[string]tls.Certificate // leaves, by name
	kubeconfig  []byte
}

func (f *fleet) remember(t *testing.T) memory {
	t.Helper()
	first := f.servers[0]
	dir := first.host.Path(paths.PKI())
	m := memory{map[string]*x509.Certificate{}, map[string]tls.Certificate{}, nil}
	for _, name := range pki.AuthorityNames() {
		cert, err := pki.LoadCert(filepath.Join(dir, name+".crt"))
		if err != nil {
			t.Fatal(err)
		}
		m.authorities[name] = cert
	}
	for _, name := range []string{"node", "etcd-client", "admin"} {
		pair, err := tls.LoadX509KeyPair(filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		m.pairs[name] = pair
	}
	m.kubeconfig = readFile(t, first.host.Path(paths.AdminKubeconfig()))
	return m
}

// certificates looks at every certificate of every machine: none is an authority of before, or signed by one.
func (f *fleet) certificates(t *testing.T, was memory) {
	t.Helper()
	seen := 0
	for _, p := range f.all() {
		files, err := filepath.Glob(p.host.Path(filepath.Join(paths.PKI(), "*.c*")))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			certs, err := pki.ParseCerts(readFile(t, path))
			if err != nil || len(certs) != 1 {
				t.Errorf("%s: %s holds %d certificates (%v)", p.host.Name(), filepath.Base(path), len(certs), err)
				continue
			}
			seen++
			for name, old := range was.authorities {
				if certs[0].CheckSignatureFrom(old) == nil {
					t.Errorf("%s: %s is by the %s of before", p.host.Name(), filepath.Base(path), name)
				}
			}
		}
	}
	t.Logf("%d certificates are by new authorities", seen)
}

// published waits until new pods trust the new authority only.
func (f *fleet) published(t *testing.T, was memory) {
	t.Helper()
	for _, name := range []string{"default", keeperNamespace} {
		await(t, readyLimit, "the authority that pods trust", func(ctx context.Context) error {
			published, err := f.servers[0].kube.CoreV1().ConfigMaps(name).Get(ctx, "kube-root-ca.crt", metav1.GetOptions{})
			if err != nil {
				return err
			}
			certs, err := pki.ParseCerts([]byte(published.Data["ca.crt"]))
			if err == nil && (len(certs) != 1 || certs[0].Equal(was.authorities[pki.ClusterCA])) {
				err = fmt.Errorf("%d certificates, of %s", len(certs), certs[0].Subject)
			}
			return err
		})
	}
}

// extensions is what extension API servers trust: nothing of before.
func (f *fleet) extensions(t *testing.T, was memory) {
	t.Helper()
	trust, err := f.servers[0].kube.CoreV1().ConfigMaps(metav1.NamespaceSystem).Get(t.Context(), "extension-apiserver-authentication", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for key, name := range map[string]string{"client-ca-file": pki.ClientCA, "requestheader-client-ca-file": pki.FrontProxyCA} {
		certs, err := pki.ParseCerts([]byte(trust.Data[key]))
		if err != nil || len(certs) != 1 || certs[0].Equal(was.authorities[name]) {
			t.Errorf("%s holds %d certificates (%v)", key, len(certs), err)
		}
	}
}

// refused shows certificates of before at every server.
func (f *fleet) refused(t *testing.T, was memory) {
	t.Helper()
	for _, p := range f.servers {
		if err := p.shakeHands(t.Context(), "2379", was.pairs["etcd-client"]); err == nil || !strings.Contains(err.Error(), "remote error: tls: ") {
			t.Errorf("%s's etcd with a client's certificate of before: %v", p.host.Name(), err)
		}
		for _, c := range []struct{ pair, port, path string }{{"admin", "6443", "/api"}, {"admin", "10250", "/pods"}, {"node", "9443", "/node/v1/servers"}} {
			if status, err := p.statusWith(t.Context(), c.port, c.path, was.pairs[c.pair]); err != nil || status != http.StatusUnauthorized {
				t.Errorf("%s:%s with a %s certificate of before: %d, %v", p.host.Name(), c.port, c.pair, status, err)
			}
		}
		config, err := clientcmd.RESTConfigFromKubeConfig(was.kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		config.Host, config.Dial = "https://"+p.host.Addr().String()+":6443", p.lab.Dial
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Discovery().ServerVersion(); err == nil || !strings.Contains(err.Error(), "signed by unknown authority") {
			t.Errorf("%s convinces who trusts the cluster-ca of before: %v", p.host.Name(), err)
		}
	}
}

// showing is the configuration of a client that shows a certificate, whatever authorities the other side names, and takes
// any of the other side.
func showing(pair tls.Certificate) *tls.Config {
	return &tls.Config{
		InsecureSkipVerify:   true, // the other side is asked
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil },
	}
}

// shakeHands waits for what a port says to a certificate. In TLS 1.3 the other side judges it after the client is done, and
// what the client sent by then could take the answer's place; so it sends nothing.
func (p *platform) shakeHands(ctx context.Context, port string, pair tls.Certificate) error {
	raw, err := p.lab.Dial(ctx, "tcp", p.host.Name()+":"+port)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(readyLimit)); err != nil {
		return err
	}
	conn := tls.Client(raw, showing(pair))
	if err := conn.HandshakeContext(ctx); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// statusWith is the status of an answer to who shows a certificate.
func (p *platform) statusWith(ctx context.Context, port, path string, pair tls.Certificate) (int, error) {
	client := p.lab.HTTPClientTo(p.host.Name() + ":" + port)
	client.Timeout = readyLimit
	client.Transport.(*http.Transport).TLSClientConfig = showing(pair)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+p.host.Name()+":"+port+path, nil)
	if err != nil {
		return 0, err
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// rotateUnderCuts kills what it can in a rotation: the daemon that it was asked for, the server whose turn it is, and the
// agent's machine. It goes on by itself.
func (f *fleet) rotateUnderCuts(t *testing.T) {
	first, third, agent := f.servers[0], f.servers[2], f.agents[0]
	was := f.remember(t)
	rotation := func(ctx context.Context, p *platform) (*api.Rotation, error) {
		s, err := p.daemon().Status(ctx)
		if err == nil && s.Rotation == nil {
			err = fmt.Errorf("%s knows of no rotation", p.host.Name())
		}
		return s.Rotation, err
	}
	if err := first.daemon().Rotate(t.Context(), api.RotationOrder{Authorities: []string{pki.NodeCA, pki.EtcdCA}}); err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	if err := first.host.SignalBoot(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := agent.host.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "it waits for the agent", func(ctx context.Context) error {
		r, err := rotation(ctx, third)
		if err == nil && (len(r.WaitsFor) != 1 || !strings.HasPrefix(r.WaitsFor[0], agent.host.Name()+":")) {
			err = fmt.Errorf("step %s waits for %q", r.Step, r.WaitsFor)
		}
		return err
	})
	if code := third.exitCode(t, "cert", "rotate-ca", "site-ca", "--yes"); code != int(cli.CodeBusy) {
		t.Errorf("another rotation at the same time: exit code %d", code)
	}
	if err := agent.host.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, rotationLimit, "it is a server's turn", func(ctx context.Context) error {
		r, err := rotation(ctx, third)
		if err == nil && r.Restarting == "" && r.Unfinished() {
			err = fmt.Errorf("step %s waits for %q", r.Step, r.WaitsFor)
		}
		return err
	})
	for _, p := range f.servers[1:] {
		if err := p.host.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range f.servers[1:] {
		if err := p.host.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out, err := first.host.Output(t.Context(), "appliance", "cert", "rotate-ca", "--wait", rotationLimit.String()) // follows it
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("rotated under cuts in %s: %s", time.Since(begun).Round(time.Second), out)
	for _, p := range f.all() {
		await(t, readyLimit, p.host.Name()+" is ready", p.ready)
	}
	f.awaitWhole(t)
	was.authorities = map[string]*x509.Certificate{pki.NodeCA: was.authorities[pki.NodeCA], pki.EtcdCA: was.authorities[pki.EtcdCA]}
	if err := first.connect(); err != nil {
		t.Fatal(err)
	}
	f.certificates(t, was)
}
