package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// settings splits the unit into its lines by section.
func settings(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	section := ""
	for line := range strings.Lines(Unit()) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			name, value, ok := strings.Cut(line, "=")
			if !ok {
				t.Errorf("line %q is no setting", line)
			}
			found[section+"."+name] = value
		}
	}
	return found
}

// What pods and power cuts depend on.
func TestUnit(t *testing.T) {
	t.Parallel()
	got := settings(t)
	for name, want := range map[string]string{
		"Unit.After":                 "network.target",
		"Unit.StartLimitIntervalSec": "0",
		"Service.Type":               "notify",
		"Service.ExecStart":          Executable + " server",
		"Service.Restart":            "always",
		"Service.RestartSec":         "1",
		"Service.KillMode":           "process",
		"Service.Delegate":           "yes",
		"Service.LimitNOFILE":        "1048576",
		"Service.TasksMax":           "infinity",
		"Service.OOMScoreAdjust":     "-900",
		"Service.OOMPolicy":          "continue",
		"Service.TimeoutStartSec":    "infinity",
		"Install.WantedBy":           filepath.Base(strings.TrimSuffix(filepath.Dir(LinkPath), ".wants")),
	} {
		if got[name] != want {
			t.Errorf("%s=%s, want %s", name, got[name], want)
		}
	}
	for name, value := range got {
		for _, never := range []string{"network-online", "time-sync", "remote-fs"} {
			if strings.Contains(value, never) {
				t.Errorf("%s=%s: a site may never have that", name, value)
			}
		}
	}
}

func TestUnitVerifies(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze, of the Debian package systemd, is not here to judge the unit")
	}
	file := filepath.Join(t.TempDir(), UnitName)
	// It insists on a program that is there.
	content := strings.ReplaceAll(Unit(), Executable, "/bin/true")
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "verify", "--man=no", file).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}
