// Package tuitest draws pages in every size, language and character set there is, compares them with golden files and checks
// what holds for all of them.
package tuitest

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/exp/golden"

	"islet/tui/message"
	"islet/tui/screen"
	"islet/tui/term"
	"islet/tui/theme"
)

// Now is the time on every golden screen.
var Now = time.Date(2026, 5, 17, 9, 30, 0, 0, time.UTC)

// Profiles are the terminals that every page is drawn for. Chinese without Unicode does not exist: there English is spoken.
var Profiles = map[string]term.Profile{
	"unicode": {Kind: term.Emulator, Unicode: true, Wide: true, Colors: 256, FPS: 20, Lang: message.English},
	"chinese": {Kind: term.Emulator, Unicode: true, Wide: true, Colors: 256, FPS: 20, Lang: message.Chinese},
	"ascii":   {Kind: term.Serial, Colors: 0, FPS: 4, Lang: message.English},
}

// Sizes are width and height.
var Sizes = [][2]int{{60, 20}, {80, 24}, {100, 30}, {132, 43}}

// Context is that of a golden screen.
func Context(p term.Profile) *screen.Context {
	ctx := screen.NewContext(p)
	ctx.Now = func() time.Time { return Now }
	ctx.Name, ctx.Zone = "harbour", "terminal-2"
	ctx.Run = func([]string) screen.Result { return screen.Result{} }
	return ctx
}

// Sweep draws the page that build returns in every size for every profile, and compares all of them with one golden file for
// each profile. Build may press keys; it is called anew for each profile and size.
func Sweep(t *testing.T, build func(ctx *screen.Context) screen.Page) {
	t.Helper()
	for name, profile := range Profiles {
		t.Run(name, func(t *testing.T) {
			var all strings.Builder
			for _, size := range Sizes {
				ctx := Context(profile)
				root := screen.New(ctx, build(ctx))
				root.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
				drawn := root.Render()
				Check(t, profile, drawn, size[0], size[1])
				fmt.Fprintf(&all, "==== %dx%d\n%s\n", size[0], size[1], trimLines(ansi.Strip(drawn)))
			}
			golden.RequireEqual(t, all.String())
		})
	}
}

func trimLines(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(l, " ")
	}
	return strings.Join(lines, "\n")
}

// Check complains about a screen that is not exactly as high as it may be, has a line that is too wide, or has something that
// its terminal cannot draw.
func Check(t *testing.T, p term.Profile, drawn string, width, height int) {
	t.Helper()
	lines := strings.Split(drawn, "\n")
	if len(lines) != height {
		t.Errorf("%dx%d: %d lines", width, height, len(lines))
	}
	for i, line := range lines {
		if n := theme.Width(line); n > width {
			t.Errorf("%dx%d: line %d is %d cells wide: %q", width, height, i+1, n, ansi.Strip(line))
		}
	}
	if p.Unicode {
		return
	}
	for i, line := range lines {
		for _, r := range line {
			if r >= 0x80 || r < 0x20 && r != 0x1b {
				t.Errorf("%dx%d: line %d has %q in ASCII: %q", width, height, i+1, r, line)
				break
			}
		}
		for rest := line; ; {
			_, after, found := strings.Cut(rest, "\x1b")
			if !found {
				break
			}
			end := strings.IndexAny(after, "m")
			if !strings.HasPrefix(after, "[") || end < 0 || strings.Trim(after[1:end], "0123456789;") != "" {
				t.Errorf("%dx%d: line %d has a sequence that is none of looks: %q", width, height, i+1, line)
				break
			}
			if p.Colors == 0 && hasColor(after[1:end]) {
				t.Errorf("%dx%d: line %d has a colour: %q", width, height, i+1, line)
			}
			rest = after[end:]
		}
	}
}

func hasColor(parameters string) bool {
	for p := range strings.SplitSeq(parameters, ";") {
		if len(p) == 2 && (p[0] == '3' || p[0] == '4' || p[0] == '9') {
			return true
		}
	}
	return false
}

// Press types keys into a page: single characters, or names such as "enter", "esc", "up", "down", "tab".
func Press(p screen.Page, keys ...string) {
	for _, k := range keys {
		p.Update(Key(k))
	}
}

var names = map[string]rune{
	"enter": tea.KeyEnter, "esc": tea.KeyEscape, "up": tea.KeyUp, "down": tea.KeyDown, "left": tea.KeyLeft, "right": tea.KeyRight,
	"tab": tea.KeyTab, "backspace": tea.KeyBackspace, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, "home": tea.KeyHome, "end": tea.KeyEnd,
}

// Key is the message of a key.
func Key(k string) tea.KeyPressMsg {
	if code, ok := names[k]; ok {
		return tea.KeyPressMsg{Code: code}
	}
	if rest, ok := strings.CutPrefix(k, "ctrl+"); ok {
		return tea.KeyPressMsg{Code: []rune(rest)[0], Mod: tea.ModCtrl}
	}
	if rest, ok := strings.CutPrefix(k, "shift+"); ok && rest == "tab" {
		return tea.KeyPressMsg{Code: tea.KeyTab, Mod: tea.ModShift}
	}
	return tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
}

// Run carries out a command and all that it consists of, and returns the messages. Ticks are not waited for longer than a moment.
func Run(cmd tea.Cmd) []tea.Msg {
	if cmd == nil {
		return nil
	}
	done := make(chan tea.Msg, 1)
	go func() { done <- cmd() }()
	var msg tea.Msg
	select {
	case msg = <-done:
	case <-time.After(patience):
		return nil
	}
	value := reflect.ValueOf(msg)
	if msg == nil {
		return nil
	}
	if value.Kind() == reflect.Slice && value.Type().Elem() == reflect.TypeFor[tea.Cmd]() { // tea.Batch and tea.Sequence
		var all []tea.Msg
		for i := range value.Len() {
			all = append(all, Run(value.Index(i).Interface().(tea.Cmd))...)
		}
		return all
	}
	return []tea.Msg{msg}
}

// patience is how long a command of a test may take: a blinking cursor or a tick takes longer.
const patience = 200 * time.Millisecond
