package cli

import (
	"strings"
	"testing"

	"islet/appliance/health"
)

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		args []string
		code Code
		out  string
		err  string
	}{
		{"all topics", nil, CodeOK, "Back the site up, and restore it", ""},
		{"a page", []string{"backup"}, CodeOK, "BACK THE SITE UP", ""},
		{"a problem", []string{"disk-slow"}, CodeOK, "is slow to make writes safe", ""},
		{"a command that has no page", []string{"status"}, CodeOK, "appliance status --wait", ""},
		{"a command below another", []string{"token", "create"}, CodeOK, "appliance token create", ""},
		{"as data", []string{"backup", "-o", "json"}, CodeOK, `"name": "backup"`, ""},
		{"nothing of that name", []string{"bakcup"}, CodeUsage, "", "did you mean backup?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := call(t, "/proc/self/exe", append([]string{"help"}, c.args...)...)
			if got.code != c.code || !strings.Contains(got.out, c.out) || !strings.Contains(got.err, c.err) || strings.Contains(got.out, "\x1b") {
				t.Errorf("%+v", got)
			}
		})
	}
}

// Every problem that can be reported is a topic.
func TestProblemsAreTopics(t *testing.T) {
	t.Parallel()
	for _, p := range health.Catalogue() {
		if got := call(t, "/proc/self/exe", "help", string(p.Code)); got.code != CodeOK || !strings.Contains(got.out, p.Title) {
			t.Errorf("%s: %+v", p.Code, got)
		}
	}
	got := call(t, "/proc/self/exe", "__complete", "help", "disk-s")
	if !strings.Contains(got.out, "disk-slow") || !strings.Contains(got.out, "backup") {
		t.Errorf("completion: %+v", got)
	}
}
