package cli

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"islet/appliance/config"
	"islet/appliance/preflight"
)

// runCommand runs the whole command line with these arguments.
func runCommand(t *testing.T, args ...string) (stdout, stderr string, code Code) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Code(Main(t.Context(), args, Stdio{In: strings.NewReader(""), Out: &out, Err: &errs}))
	return out.String(), errs.String(), code
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const siteHeader = "apiVersion: islet.dev/v1alpha1\nkind: Site\n"

func TestConfigExamplePassesValidate(t *testing.T) {
	t.Parallel()
	example, _, code := runCommand(t, "config", "example")
	if code != CodeOK {
		t.Fatalf("example ends with %d", code)
	}
	path := writeFile(t, example)
	out, stderr, code := runCommand(t, "config", "validate", path)
	if want := path + " is valid\n"; code != CodeOK || out != want || stderr != "" {
		t.Errorf("got %q %q %d, want %q", out, stderr, code, want)
	}
}

func TestConfigValidateListsEveryProblem(t *testing.T) {
	t.Parallel()
	path := writeFile(t, siteHeader+"network:\n  mtu: 9\n  podCidr: x\n")
	out, stderr, code := runCommand(t, "config", "validate", path)
	want := "error: " + path + ":4:8: network.mtu: 9 is too small; use at least 1280\n" +
		"       " + path + ":5:3: network.podCidr: unknown field; did you mean podCIDR?\n"
	if out != "" || stderr != want || code != CodeConfig {
		t.Errorf("got %q %q %d, want %q", out, stderr, code, want)
	}

	out, stderr, code = runCommand(t, "config", "validate", "-o", "json", path)
	var report configReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if report.Valid || len(report.Problems) != 2 || report.Problems[0].Line != 4 || code != CodeConfig || stderr != "" {
		t.Errorf("got %+v, %q, %d", report, stderr, code)
	}
}

func TestConfigValidateHereShowsWhatFollows(t *testing.T) {
	t.Parallel()
	path := writeFile(t, siteHeader+"node: {name: a, address: 203.0.113.77}\n")
	out, _, code := runCommand(t, "config", "validate", "--here", "-o", "json", path)
	var report configReport
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if code != CodeConfig || len(report.Problems) == 0 || report.Problems[0].Path != "node.address" {
		t.Errorf("an address of no interface is accepted: %+v, %d", report, code)
	}
}

func TestConfigCommandsThatReadAFile(t *testing.T) {
	t.Parallel()
	good := writeFile(t, siteHeader+"site: {name: plant7}\n")
	bad := writeFile(t, siteHeader+"site: {name: Plant 7}\n")
	for _, c := range []struct {
		name string
		args []string
		code Code
		out  string // part of standard output
		err  string // part of standard error
	}{
		{"show", []string{"config", "show", good}, CodeOK, "name: plant7", ""},
		{"show effective", []string{"config", "show", "--effective", good}, CodeOK, "# Short name of the site", ""},
		{"show a bad file", []string{"config", "show", bad}, CodeConfig, "", "site.name: not a DNS label"},
		{"show no file", []string{"config", "show", "/nonexistent/site.yaml"}, CodeNoFile, "", "appliance config example"},
		{"validate no file", []string{"config", "validate", "/nonexistent/site.yaml"}, CodeNoFile, "", "no such file"},
		{"explain a field", []string{"config", "explain", "network.mtu"}, CodeOK, "From 1280 to 65535.", ""},
		{"explain a section", []string{"config", "explain", "datastore"}, CodeOK, "datastore.snapshots.keep", ""},
		{"explain nothing", []string{"config", "explain", "network.mtuu"}, CodeUsage, "", "lists all fields"},
		{"schema", []string{"config", "schema"}, CodeOK, "json-schema.org", ""},
		{"preflight with a bad file", []string{"preflight", "--config", bad}, CodeConfig, "", "not a DNS label"},
		{"preflight without the file", []string{"preflight", "--config", "/nonexistent/site.yaml"}, CodeNoFile, "", "no such file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			out, stderr, code := runCommand(t, c.args...)
			if code != c.code || !strings.Contains(out, c.out) || !strings.Contains(stderr, c.err) {
				t.Errorf("got %d\n%s\n%s", code, out, stderr)
			}
		})
	}
}

func TestPreflightFailsWithItsOwnCode(t *testing.T) {
	t.Parallel()
	path := writeFile(t, siteHeader+"node: {address: 203.0.113.77}\npaths: {stateDir: "+t.TempDir()+"/state}\n")
	out, stderr, code := runCommand(t, "preflight", "--config", path, "-o", "json")
	var report preflight.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	if code != CodePreflight || report.Status != preflight.Failed || stderr != "" {
		t.Errorf("got %d with %s, %q", code, report.Status, stderr)
	}
	text, _, code := runCommand(t, "preflight", "--config", path)
	if code != CodePreflight || !strings.Contains(text, "FAIL  Address of this node") || !strings.Contains(text, "-> correct it, or configure the interface first") {
		t.Errorf("got %d\n%s", code, text)
	}
}

func TestPreflightInputFallsBackToTheDefaults(t *testing.T) {
	t.Parallel()
	path := writeFile(t, siteHeader+"paths: {stateDir: /srv/islet}\n")
	in, err := preflightInput(path)
	if err != nil || in.Layout.StateDir != "/srv/islet" || in.Layout.EtcDir != filepath.Dir(path) {
		t.Errorf("got %+v, %v", in.Layout, err)
	}
	if _, err := os.Stat(in.Layout.Config()); err == nil {
		t.Skip("this machine has an answer file of its own")
	}
	in, err = preflightInput("")
	if err != nil || in.Config.Paths != config.Default().Paths {
		t.Errorf("got %+v, %v", in.Config.Paths, err)
	}
}
