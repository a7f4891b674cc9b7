package systemd

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// settings splits a unit into its lines by section.
func settings(t *testing.T, unit string) map[string]string {
	t.Helper()
	found := map[string]string{}
	section := ""
	for line := range strings.Lines(unit) {
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
	got := settings(t, Unit())
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

// What people at a console depend on.
func TestConsole(t *testing.T) {
	t.Parallel()
	got := settings(t, console)
	for name, want := range map[string]string{
		"Service.ExecStart":          Executable + " dashboard --resident",
		"Service.Restart":            "always",
		"Service.DynamicUser":        "yes",
		"Service.TTYPath":            "/dev/%I",
		"Service.StandardInput":      "tty",
		"Service.NoNewPrivileges":    "yes",
		"Unit.StartLimitIntervalSec": "0",
		"Unit.Conflicts":             "", // a login that is there is not ended
		"Install.WantedBy":           filepath.Base(strings.TrimSuffix(filepath.Dir(ConsoleLink), ".wants")),
	} {
		if got[name] != want {
			t.Errorf("%s=%s, want %s", name, got[name], want)
		}
	}
	if condition := settings(t, login)["Unit.ConditionPathExists"]; strings.ReplaceAll(condition, "%i", "tty1") != "!"+ConsoleLink {
		t.Errorf("logins stay away where %s", condition)
	}
}

func TestUnitsVerify(t *testing.T) {
	t.Parallel()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze, of the Debian package systemd, is not here to judge the units")
	}
	dir := t.TempDir()
	for path, content := range Files() {
		// It insists on a program that is there.
		content = strings.ReplaceAll(content, Executable, "/bin/true")
		file := filepath.Join(dir, strings.TrimPrefix(path, "/etc/systemd/system/"))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{UnitName, ConsoleName, "appliance-console@ttyS0.service"} {
		verify := exec.CommandContext(t.Context(), program, "verify", "--man=no", name)
		verify.Dir = dir
		verify.Env = append(os.Environ(), "SYSTEMD_UNIT_PATH="+dir+":")
		if out, err := verify.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
