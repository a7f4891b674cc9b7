package images

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestKeepalivedNeedsNothing runs what the keepalived engine carries where there is no other file.
func TestKeepalivedNeedsNothing(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for chroot")
	}
	layout := "../build/layout"
	if !hasEngine(layout, "keepalived") {
		layout = filepath.Join(t.TempDir(), "layout")
		if err := Run(t.Context(), []string{"engines", "--only", "keepalived", "--root", "..", "--out", layout}, io.Discard, io.Discard); err != nil {
			t.Fatal(err)
		}
	}
	root := t.TempDir()
	stage(t, layout, "keepalived", root)
	cmd := exec.CommandContext(t.Context(), "/bin/keepalived", "--version")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	cmd.Env, cmd.Dir = []string{}, "/"
	said, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(said), "Keepalived v2.") {
		t.Fatalf("%v: %s", err, said)
	}
	for _, without := range []string{"LVS", "SNMP", "DBUS", "OLD_CHKSUM_COMPAT", "VRRP_AUTH"} {
		for line := range strings.Lines(string(said)) {
			if options, ok := strings.CutPrefix(line, "Config options: "); ok && strings.Contains(" "+options, " "+without) {
				t.Errorf("it was built with %s: %s", without, options)
			}
		}
	}
}
