package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// coldStart follows a host that was just made from the bare file to the sample application, and prints how long each step
// took from the very beginning. Other tests count on what it leaves: a ready platform, p.kube, and the sample application.
func coldStart(t *testing.T, p *platform) {
	since := func(what string) { t.Helper(); t.Logf("%6.2fs %s", time.Since(p.begun).Seconds(), what) }
	since("host is up")
	await(t, readyLimit, "daemon answers", func(ctx context.Context) error {
		_, err := p.daemon().Status(ctx)
		return err
	})
	since("daemon answers")
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	await(t, readyLimit, "API server answers", func(context.Context) error {
		_, err := p.kube.Discovery().ServerVersion()
		return err
	})
	since("API server answers")
	await(t, readyLimit, "node is ready", p.nodeReady)
	since("node is ready")
	await(t, readyLimit, "every component is ready", p.ready)
	since("every component is ready")
	p.deploySample(t)
	for _, url := range p.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return p.sampleAnswers(ctx, t, url) })
		since(url + " answers")
	}
}

// deploySample applies the sample application as the demo does.
func (p *platform) deploySample(t *testing.T) {
	t.Helper()
	manifests := p.run(t, "appliance", "addon", "render", "sample")
	p.apply(t, manifests)
}

// sampleURLs are the ways to the sample application, through Ingress and HTTPRoute.
func (p *platform) sampleURLs() []string {
	var urls []string
	for _, scheme := range []string{"http", "https"} {
		for _, name := range []string{"hello", "hello-route"} {
			urls = append(urls, fmt.Sprintf("%s://%s.apps.%s.internal/", scheme, name, p.site))
		}
	}
	return urls
}

// sampleAnswers complains unless the sample application answers from outside the host; https with a valid certificate.
func (p *platform) sampleAnswers(ctx context.Context, t *testing.T, url string) error {
	port := 80
	if url[:len("https")] == "https" {
		port = 443
	}
	return get(ctx, p.outside(t, port), url, `"version":"v1"`)
}

// settle waits until everything is ready and the sample application answers in every way.
func (p *platform) settle(t *testing.T) time.Duration {
	t.Helper()
	begun := time.Now()
	await(t, readyLimit, "every component is ready", p.ready)
	await(t, readyLimit, "node is ready", p.nodeReady)
	for _, url := range p.sampleURLs() {
		await(t, readyLimit, url, func(ctx context.Context) error { return p.sampleAnswers(ctx, t, url) })
	}
	return time.Since(begun)
}
