package e2e

import (
	"slices"
	"testing"

	"islet/appliance/paas/v1alpha1"
)

// TestReleaseByKeys makes a tenant with two environments, a release of an application, and brings it to dev and to prod with
// approval, by keystrokes alone. The application itself comes from a file, as the first version of one always does.
func TestReleaseByKeys(t *testing.T) {
	t.Parallel()
	p := boot(t, "keys")
	defer p.diagnose(t)
	await(t, readyLimit, "readiness", p.ready)
	if err := p.connect(); err != nil {
		t.Fatal(err)
	}
	c := sit(t, p.host, usual, []string{"TERM=xterm-256color", "LANG=C.UTF-8"}, "appliance")
	c.see(screenLimit, "Nothing is wrong.")
	c.press("0")
	c.see(screenLimit, "There is no tenant yet.")
	tenantByKeys(t, p, c)
	p.run(t, "appliance", "app", "apply", "-f", p.application(t, "press-dev", "hello", p.sampleImage(t, "v1")), "--wait", "1m")
	releasedByKeys(t, c)
	promotedByKeys(t, p, c)
	c.press("0") // from the order's page to the applications
	c.see(screenLimit, "Tenant press", "1 Ready")
	c.press("q")
	c.leave()
}

func tenantByKeys(t *testing.T, p *platform, c *console) {
	t.Helper()
	c.press("t")
	c.see(screenLimit, "TENANT", "nothing")
	c.press("N")
	c.see(screenLimit, "New tenant", "appliance tenant create")
	c.press("press\tann\tbob" + enter)
	c.see(screenLimit, "User:bob=deployer", "Enter does it.")
	c.press(enter)
	c.see(screenLimit, "tenant press is made", "Done.")
	c.press(enter)
	c.see(screenLimit, "TENANT", "press", "ready")
	for _, class := range []string{"dev", "prod"} {
		c.press("E")
		c.see(screenLimit, "New environment of press")
		if class == "prod" {
			c.press("ll")
		}
		c.see(screenLimit, "< "+class+" >")
		c.press(enter)
		c.see(screenLimit, "appliance env create press "+class, "Enter does it.")
		c.press(enter)
		c.see(screenLimit, "environment press-"+class+" is made")
		c.press(enter)
		c.see(screenLimit, "TENANT", class)
	}
	c.see(screenLimit, "dev, prod")
	c.press(enter)
	c.see(screenLimit, "Tenant press", "Nothing runs here yet.")
	p.awaitEnvironments(t, map[string]bool{"press-dev": true, "press-prod": true})
}

// releasedByKeys makes a release of what runs in dev, and orders it there.
func releasedByKeys(t *testing.T, c *console) {
	t.Helper()
	c.see(screenLimit, "hello in press-dev: Ready 1/1")
	c.press(enter)
	c.see(screenLimit, "none: it was applied as it is", "Orders, the newest first")
	c.press("V")
	c.see(screenLimit, "New release of hello")
	c.press("1" + enter)
	c.see(screenLimit, "appliance release create press-dev hello 1", "Enter does it.")
	c.press(enter)
	c.see(screenLimit, "release hello-1 is made")
	c.press(enter)
	c.see(screenLimit, "Releases", "hello-1")
	c.press("N")
	c.see(screenLimit, "< press-dev >", "< hello-1: dev >")
	c.press(enter)
	c.see(screenLimit, "appliance order create press-dev hello-1", "Enter does it.")
	c.press(enter)
	c.see(screenLimit, "Order hello-1-1 in press-dev")
	c.see(readyLimit, "Done for", "Verifying")
}

// promotedByKeys brings the same release to prod, which asks for a word and for somebody else's approval.
func promotedByKeys(t *testing.T, p *platform, c *console) {
	t.Helper()
	c.press("M")
	c.see(screenLimit, "< press-prod PROD >", "< hello-1: dev >")
	c.press(enter)
	c.see(screenLimit, "This is PROD: press-prod", "Type hello to do it:")
	c.press(enter) // without the word nothing happens
	if made := runJSON[[]orderRow](t, p, "order", "list", "press-prod"); len(made) != 0 {
		t.Errorf("ordered without the word: %+v", made)
	}
	c.press("hello" + enter)
	c.see(screenLimit, "PROD: press-prod", "Order hello-1-1 in press-prod")
	c.see(screenLimit, "PendingApproval for", "1 missing, by others than islet:admin")
	c.press("A")
	c.see(screenLimit, "< ann, owner >")
	c.press("\tseen in dev" + enter)
	c.see(screenLimit, "Type hello-1-1 to do it:")
	c.press("hello-1-1" + enter)
	c.see(screenLimit, "order hello-1-1 is approved")
	c.press(enter)
	c.see(screenLimit, "ann: seen in dev")
	c.see(readyLimit, "Done for")
	p.awaitOrder(t, "press-prod", "hello-1-1", v1alpha1.PhaseDone, "")
	if dev, prod := p.imagesOf(t, "press-dev"), p.imagesOf(t, "press-prod"); len(dev) != 1 || !slices.Equal(dev, prod) {
		t.Errorf("in dev runs %v, in prod %v", dev, prod)
	}
	p.serves(t, "prod", "v1")
}
