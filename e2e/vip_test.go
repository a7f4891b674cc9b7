package e2e

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/cli"
	"islet/appliance/config"
	"islet/appliance/health"
	"islet/appliance/lab"
	"islet/appliance/pki"
	"islet/appliance/vip"
)

// The virtual addresses of these tests, in the lab's network and beyond its hosts.
var (
	apiVIP  = netip.MustParseAddr("10.77.0.100")
	appsVIP = netip.MustParseAddr("10.77.0.101")
)

const apiName = "api.plant.example"

// TestVirtualAddresses gives one server both addresses, and a machine beside it that takes one.
func TestVirtualAddresses(t *testing.T) {
	all := bootSite(t, "vip", 2, func(c *config.Config) {
		c.Network.VIP = config.VIP{API: apiVIP, Applications: appsVIP, APINames: []string{apiName}}
	})
	p, beside := all[0], all[1]
	if err := beside.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	step(t, p, "cold start", coldStart)
	step(t, p, "held", held)
	step(t, p, "API", apiAtVIP)
	step(t, p, "applications", applicationsAtVIP)
	step(t, p, "refused elsewhere", func(t *testing.T, _ *platform) { refusedElsewhere(t, beside) })
	step(t, p, "another holder", func(t *testing.T, p *platform) { anotherHolder(t, p, beside) })
	step(t, p, "keepalived killed", keepalivedKilled)
	step(t, p, "keepalived hangs", keepalivedHangs)
	step(t, p, "daemon killed", daemonKilledWithVIP)
	step(t, p, "gateway away", gatewayAway)
	step(t, p, "taken before the start", func(t *testing.T, p *platform) { takenBefore(t, p, beside) })
}

// holds complains unless this server holds the addresses, each once, and says so.
func (p *platform) holds(ctx context.Context, addresses ...netip.Addr) error {
	s, err := p.daemon().Status(ctx)
	if err != nil {
		return err
	}
	for _, v := range s.VIPs {
		if want := slices.Contains(addresses, v.Address); want != (v.State == vip.Held) {
			return fmt.Errorf("%+v", v)
		}
	}
	out, err := p.host.Output(ctx, "ip", "-4", "-o", "address", "show", "dev", "eth0")
	if err != nil {
		return err
	}
	for _, a := range []netip.Addr{apiVIP, appsVIP} {
		want := 0
		if slices.Contains(addresses, a) {
			want = 1
		}
		if n := strings.Count(out, " "+a.String()+"/"); n != want {
			return fmt.Errorf("%s is %d times, want %d, among\n%s", a, n, want, out)
		}
	}
	return nil
}

func held(t *testing.T, p *platform) {
	await(t, readyLimit, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
	out := p.run(t, "appliance", "status")
	for _, a := range []netip.Addr{apiVIP, appsVIP} {
		if !strings.Contains(out, a.String()) || !strings.Contains(out, "held by this server") {
			t.Errorf("the status does not show %s:\n%s", a, out)
		}
	}
	if out := p.run(t, "cat", filepath.Join(paths.Logs(), vip.Name+".log")); strings.Count(out, "\n") > 40 || strings.Contains(out, "WARNING") {
		t.Errorf("keepalived is not content:\n%s", out)
	}
}

// apiAtVIP asks the API server at its virtual address. It answers 401 to somebody without a certificate, once it has shown
// one of its own that covers the address or name.
func apiAtVIP(t *testing.T, p *platform) {
	for _, name := range []string{apiVIP.String(), appsVIP.String(), apiName} {
		client := p.lab.HTTPClientTo(apiVIP.String() + ":6443")
		client.Timeout = 5 * time.Second
		client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.authority(t, pki.ClusterCA)}
		_, err := send(t.Context(), client, http.MethodGet, "https://"+name+":6443/readyz", "")
		if status, ok := errors.AsType[errStatus](err); !ok || status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// applicationsAtVIP reaches the sample application at the applications' address, from outside and from a pod, by its name and
// on a node port.
func applicationsAtVIP(t *testing.T, p *platform) {
	for _, url := range p.sampleURLs() {
		await(t, 30*time.Second, url, func(ctx context.Context) error { return p.sampleAtVIP(ctx, t, url) })
	}
	if err := p.covered(t, "https://"+appsVIP.String()+"/"); err != nil {
		t.Error(err)
	}
	ns := p.namespace(t, "e2e-vip")
	pod := p.startPod(t, newPod(ns, "client"))
	name := "hello.apps." + p.site + ".internal"
	if out, err := p.hello(t.Context(), pod, "lookup", name); err != nil || !strings.Contains(out, appsVIP.String()) {
		t.Errorf("%s is said to be %s (%v)", name, out, err)
	}
	await(t, 30*time.Second, "pod to the application", func(ctx context.Context) error { return p.reaches(ctx, pod, "http://"+name+"/", "hello-") })
	server := p.startPod(t, newPod(ns, "server"))
	port := p.expose(t, ns, "server", corev1.ServiceTypeNodePort).Spec.Ports[0].NodePort
	for _, address := range []netip.Addr{appsVIP, p.host.Addr()} {
		await(t, 30*time.Second, "node port at "+address.String(), func(ctx context.Context) error {
			return get(ctx, p.lab.HTTPClient(), fmt.Sprintf("http://%s:%d/", address, port), server.Name)
		})
	}
	await(t, 30*time.Second, "the Ingress shows the address", func(ctx context.Context) error {
		ingress, err := p.kube.NetworkingV1().Ingresses(sampleNamespace).Get(ctx, "hello", metav1.GetOptions{})
		if err == nil && (len(ingress.Status.LoadBalancer.Ingress) != 1 || ingress.Status.LoadBalancer.Ingress[0].IP != appsVIP.String()) {
			err = fmt.Errorf("it shows %+v", ingress.Status.LoadBalancer.Ingress)
		}
		return err
	})
}

// sampleAtVIP is sampleAnswers at the applications' address.
func (p *platform) sampleAtVIP(ctx context.Context, t *testing.T, url string) error {
	port := map[bool]int{true: 443, false: 80}[strings.HasPrefix(url, "https")]
	client := p.lab.HTTPClientTo(fmt.Sprintf("%s:%d", appsVIP, port))
	client.Timeout = 5 * time.Second
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.authority(t, pki.SiteCA)}
	return get(ctx, client, url, `"version":"v1"`)
}

// covered complains unless the gateway's certificate is good for the URL; that there is no application does not matter.
func (p *platform) covered(t *testing.T, url string) error {
	client := p.lab.HTTPClient()
	client.Timeout = 5 * time.Second
	client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: p.authority(t, pki.SiteCA)}
	_, err := send(t.Context(), client, http.MethodGet, url, "")
	if status, ok := errors.AsType[errStatus](err); ok && status == http.StatusNotFound {
		return nil
	}
	return err
}

// refusedElsewhere tries to install a site with the same addresses on another machine of the link.
func refusedElsewhere(t *testing.T, beside *platform) {
	c := config.Default()
	c.Network.VIP = config.VIP{API: apiVIP}
	answer, err := config.Marshal(c, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := beside.host.WriteFile("/root/site.yaml", answer, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := beside.host.Output(t.Context(), "appliance", "preflight", "--config", "/root/site.yaml")
	if code, _ := lab.ExitCode(err); code != int(cli.CodePreflight) || !strings.Contains(out, apiVIP.String()+" is at ") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
}

// problem complains unless the problem is there, or unless it is not.
func (p *platform) problem(ctx context.Context, code health.Code, want bool) error {
	s, err := p.daemon().Status(ctx)
	if err != nil {
		return err
	}
	there := slices.ContainsFunc(s.Problems, func(a health.Active) bool { return a.Code == code })
	if there != want {
		return fmt.Errorf("problems %+v", s.Problems)
	}
	return nil
}

// anotherHolder gives the API's address to a machine beside the server: the server tells, and keeps it.
func anotherHolder(t *testing.T, p, beside *platform) {
	beside.run(t, "ip", "address", "add", apiVIP.String()+"/24", "dev", "eth0")
	took := await(t, time.Minute, "the other holder is noticed", func(ctx context.Context) error { return p.problem(ctx, health.VIPDuplicate, true) })
	t.Logf("noticed after %s", took.Round(10*time.Millisecond))
	if err := p.holds(t.Context(), apiVIP, appsVIP); err != nil {
		t.Error(err)
	}
	mac := strings.TrimSpace(beside.run(t, "cat", "/sys/class/net/eth0/address"))
	if out, _ := p.host.Output(t.Context(), "appliance", "status"); !strings.Contains(out, mac) {
		t.Errorf("the status does not show %s:\n%s", mac, out)
	}
	beside.run(t, "ip", "address", "del", apiVIP.String()+"/24", "dev", "eth0")
	await(t, time.Minute, "all is well again", p.ready)
}

func keepalivedKilled(t *testing.T, p *platform) {
	before, err := p.component(t.Context(), vip.Name)
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Now()
	p.killComponent(t, before)
	await(t, time.Minute, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
	t.Logf("held again after %s", time.Since(begun).Round(10*time.Millisecond))
	apiAtVIP(t, p)
}

// keepalivedHangs stops the gateway's check from being answered while keepalived is stopped: it must not keep the address.
func keepalivedHangs(t *testing.T, p *platform) {
	before, err := p.component(t.Context(), vip.Name)
	if err != nil {
		t.Fatal(err)
	}
	p.run(t, "pkill", "-STOP", "keepalived")
	p.placeGateway(t, `{"e2e":"nowhere"}`)
	await(t, time.Minute, "the hanging keepalived is ended", func(ctx context.Context) error {
		now, err := p.component(ctx, vip.Name)
		if err == nil && now.PID == before.PID {
			err = errors.New("it still runs")
		}
		return err
	})
	await(t, time.Minute, "one address is left", func(ctx context.Context) error { return p.holds(ctx, apiVIP) })
	p.placeGateway(t, "null")
	await(t, readyLimit, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
	await(t, time.Minute, "all is well again", p.ready)
}

// placeGateway says which nodes have a gateway.
func (p *platform) placeGateway(t *testing.T, selector string) {
	t.Helper()
	patch := `{"spec":{"template":{"spec":{"nodeSelector":` + selector + `}}}}`
	if out, err := p.kubectl(t.Context(), "-n", "islet-system", "patch", "daemonset", "gateway", "-p", patch); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// gatewayAway takes the gateway away: its address goes, with a problem that says why, and the API's stays.
func gatewayAway(t *testing.T, p *platform) {
	p.placeGateway(t, `{"e2e":"nowhere"}`)
	await(t, time.Minute, "one address is left", func(ctx context.Context) error { return p.holds(ctx, apiVIP) })
	await(t, 2*time.Minute, "it is told", func(ctx context.Context) error { return p.problem(ctx, health.VIPMissing, true) })
	p.placeGateway(t, "null")
	await(t, readyLimit, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
	await(t, time.Minute, "all is well again", p.ready)
}

// daemonKilledWithVIP kills the daemon: keepalived goes with it and takes the addresses off, and they come back once.
func daemonKilledWithVIP(t *testing.T, p *platform) {
	if err := p.host.SignalBoot(t.Context(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "all is well again", p.ready)
	await(t, time.Minute, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
}

// takenBefore stops the daemon, which gives the addresses up, and gives one to another machine before it starts again.
func takenBefore(t *testing.T, p, beside *platform) {
	if err := p.host.StopBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	if out := p.run(t, "ip", "-4", "-o", "address", "show"); strings.Contains(out, apiVIP.String()) || strings.Contains(out, appsVIP.String()) {
		t.Errorf("the daemon has stopped and left an address:\n%s", out)
	}
	beside.run(t, "ip", "address", "add", apiVIP.String()+"/24", "dev", "eth0")
	if err := p.host.StartBoot(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "one address is held", func(ctx context.Context) error { return p.holds(ctx, appsVIP) })
	await(t, time.Minute, "the other holder is noticed", func(ctx context.Context) error { return p.problem(ctx, health.VIPDuplicate, true) })
	beside.run(t, "ip", "address", "del", apiVIP.String()+"/24", "dev", "eth0")
	await(t, time.Minute, "the addresses are held", func(ctx context.Context) error { return p.holds(ctx, apiVIP, appsVIP) })
	await(t, time.Minute, "all is well again", p.ready)
}
