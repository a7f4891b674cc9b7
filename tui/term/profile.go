// Package term finds out once what the terminal can do, and keeps from it what it cannot. Everything else in the UI asks the
// Profile, and never looks at TERM.
package term

import (
	"slices"
	"strings"

	"islet/tui/message"
)

// Kind is what is at the other end.
type Kind string

// The kinds of terminals that differ in what may be sent to them.
const (
	Emulator Kind = "emulator" // a window, tmux, SSH: understands xterm
	Console  Kind = "console"  // a virtual terminal of Linux: 256 or 512 glyphs, unknown sequences are noise
	Serial   Kind = "serial"   // a line of 9,600 to 115,200 baud, with anything at its end
)

// Profile is what may be drawn, and how often.
type Profile struct {
	Kind    Kind
	Unicode bool // borders, blocks and marks beyond ASCII
	Wide    bool // Chinese can be drawn
	Colors  int  // 0, 16, 256 or 1<<24
	FPS     int  // frames per second at most
	Lang    message.Lang
}

// Slow says that nothing is animated and nothing is drawn that need not be.
func (p Profile) Slow() bool { return p.Kind == Serial }

// Facts are what a Profile is made of: the environment, and what was seen of the device.
type Facts struct {
	Env    map[string]string
	Device string // such as /dev/tty1, /dev/ttyS0 or /dev/pts/3; empty if unknown
	// Glyphs says that a Linux console is in UTF-8 mode and its font has borders and blocks.
	Glyphs bool
}

// The variables by which a person overrules what was found: APPLIANCE_LANG (en, zh), APPLIANCE_ASCII=1 and, as everywhere,
// NO_COLOR.
const (
	EnvLang  = "APPLIANCE_LANG"
	EnvASCII = "APPLIANCE_ASCII"
	EnvPlain = "APPLIANCE_PLAIN"
)

// frames per second: a serial line at 9,600 baud needs two seconds for a full screen.
const (
	framesEmulator = 20
	framesConsole  = 10
	framesSerial   = 4
)

// New decides. It has no side effect.
func New(f Facts) Profile {
	name := f.Env["TERM"]
	p := Profile{Kind: kind(f.Device, name), FPS: framesEmulator, Colors: colors(name, f.Env["COLORTERM"])}
	switch p.Kind {
	case Emulator:
		p.Unicode = utf8(f.Env)
		p.Wide = p.Unicode
	case Console:
		p.Unicode, p.FPS = f.Glyphs, framesConsole
	case Serial:
		p.FPS = framesSerial
	}
	if plainTerminals(name) {
		p.Unicode, p.Wide, p.Colors = false, false, 0
	}
	if f.Env[EnvASCII] != "" {
		p.Unicode, p.Wide = false, false
	}
	if _, set := f.Env["NO_COLOR"]; set {
		p.Colors = 0
	}
	p.Lang = p.Speak(language(f.Env))
	return p
}

// Speak is the language that the terminal can show when this one is wished for.
func (p Profile) Speak(l message.Lang) message.Lang {
	if l == message.Chinese && !p.Wide {
		return message.English
	}
	return l
}

// kind looks at the device first: TERM on a serial console is what somebody hoped it to be.
func kind(device, name string) Kind {
	base := strings.TrimPrefix(device, "/dev/")
	for _, prefix := range []string{"ttyS", "ttyAMA", "ttyUSB", "ttyACM", "ttymxc", "hvc", "hvsi", "ttysclp", "xvc"} {
		if strings.HasPrefix(base, prefix) {
			return Serial
		}
	}
	if number, is := strings.CutPrefix(base, "tty"); is && number != "" && strings.Trim(number, "0123456789") == "" || name == "linux" {
		return Console
	}
	if plainTerminals(name) {
		return Serial
	}
	return Emulator
}

// plainTerminals are those without colour, as real ones were and serial consoles call themselves.
func plainTerminals(name string) bool {
	return name == "" || name == "dumb" || name == "unknown" || name == "ansi-m" ||
		slices.ContainsFunc([]string{"vt1", "vt2", "vt3", "vt5"}, func(p string) bool { return strings.HasPrefix(name, p) })
}

func colors(name, colorterm string) int {
	switch {
	case colorterm == "truecolor" || colorterm == "24bit" || strings.HasSuffix(name, "-direct"):
		return 1 << 24
	case strings.Contains(name, "256color") || slices.Contains([]string{"foot", "alacritty", "xterm-kitty", "xterm-ghostty", "wezterm"}, name):
		return 256
	}
	return 16
}

// locale is what POSIX lets decide, the first one that is set.
func locale(env map[string]string) string {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if env[name] != "" {
			return env[name]
		}
	}
	return ""
}

func utf8(env map[string]string) bool {
	l := strings.ToLower(locale(env))
	return strings.Contains(l, "utf-8") || strings.Contains(l, "utf8")
}

func language(env map[string]string) message.Lang {
	for _, name := range []string{EnvLang, "LC_ALL", "LC_MESSAGES", "LANG"} {
		if v := env[name]; v != "" {
			if strings.HasPrefix(v, "zh") {
				return message.Chinese
			}
			return message.English
		}
	}
	return message.English
}
