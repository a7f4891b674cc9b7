// Package systemd carries the units of the node daemon and of the console's screen, and talks to systemd where it runs.
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

// ConsoleName is the screen of the first console, and ConsoleLink what enabling it makes. The login of that console stays
// away while it is there, by Logins: it comes back when the screen is disabled. Nothing ends a login that is there already,
// so the screen comes with the next boot, and Alt-F2 leads to a login as before.
//
// A serial line is often the only way in, so a screen takes its login only where somebody has enabled
// appliance-console@ttyS0.service, knowing of another way.
const (
	ConsoleName = "appliance-console@tty1.service"
	// ConsolePattern is the screens of all consoles, to systemctl.
	ConsolePattern = "appliance-console@*.service"
	ConsoleUnit    = "/etc/systemd/system/appliance-console@.service"
	ConsoleLink    = "/etc/systemd/system/getty.target.wants/" + ConsoleName
)

// Logins are the files that keep logins away from consoles with a screen.
func Logins() []string {
	return []string{"/etc/systemd/system/getty@.service.d/appliance.conf", "/etc/systemd/system/serial-getty@.service.d/appliance.conf"}
}

var (
	//go:embed appliance.service
	unit string
	//go:embed appliance-console@.service
	console string
	//go:embed login.conf
	login string
)

// Unit is the content of the unit file.
func Unit() string { return unit }

// Files are all files of the units by their paths, UnitPath among them.
func Files() map[string]string {
	files := map[string]string{UnitPath: unit, ConsoleUnit: console}
	for _, path := range Logins() {
		files[path] = login
	}
	return files
}

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
