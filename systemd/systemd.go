// Package systemd carries the unit of the node daemon, and talks to systemd where it runs.
package systemd

import (
	"context"
	_ "embed" // the unit
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Where the unit is. The link is what `systemctl enable` makes of its WantedBy line.
const (
	UnitName = "appliance.service"
	UnitPath = "/etc/systemd/system/" + UnitName
	LinkPath = "/etc/systemd/system/multi-user.target.wants/" + UnitName
)

// Executable is the program that the unit starts.
const Executable = "/usr/local/bin/appliance"

//go:embed appliance.service
var unit string

// Unit is the content of the unit file.
func Unit() string { return unit }

// Running says whether systemd is this machine's init, as sd_booted(3) finds out.
func Running() bool {
	info, err := os.Lstat("/run/systemd/system")
	return err == nil && info.IsDir()
}

// Control runs systemctl with the given arguments and waits for it. The error holds what it printed.
func Control(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Active says whether the unit runs, or is about to.
func Active(ctx context.Context) bool {
	out, err := exec.CommandContext(ctx, "systemctl", "show", "--property=ActiveState", "--value", UnitName).Output()
	state := strings.TrimSpace(string(out))
	return err == nil && (state == "active" || state == "activating" || state == "reloading")
}
