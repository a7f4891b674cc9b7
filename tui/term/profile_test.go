package term

import (
	"testing"

	"islet/tui/message"
)

func TestProfile(t *testing.T) {
	t.Parallel()
	type env = map[string]string
	for name, c := range map[string]struct {
		facts Facts
		want  Profile
	}{
		"ssh":             {Facts{Env: env{"TERM": "xterm-256color", "LANG": "en_US.UTF-8"}, Device: "/dev/pts/3"}, Profile{Emulator, true, true, 256, 20, "en"}},
		"chinese":         {Facts{Env: env{"TERM": "tmux-256color", "LANG": "zh_CN.UTF-8"}}, Profile{Emulator, true, true, 256, 20, "zh"}},
		"wish":            {Facts{Env: env{"TERM": "xterm", "LANG": "C.UTF-8", EnvLang: "zh"}}, Profile{Emulator, true, true, 16, 20, "zh"}},
		"no locale":       {Facts{Env: env{"TERM": "xterm", EnvLang: "zh"}}, Profile{Emulator, false, false, 16, 20, "en"}},
		"no color":        {Facts{Env: env{"TERM": "foot", "LANG": "C.UTF-8", "NO_COLOR": ""}}, Profile{Emulator, true, true, 0, 20, "en"}},
		"truecolor":       {Facts{Env: env{"TERM": "xterm", "LC_ALL": "C.utf8", "COLORTERM": "truecolor"}}, Profile{Emulator, true, true, 1 << 24, 20, "en"}},
		"ascii":           {Facts{Env: env{"TERM": "xterm", "LANG": "zh_CN.UTF-8", EnvASCII: "1"}}, Profile{Emulator, false, false, 16, 20, "en"}},
		"console":         {Facts{Env: env{"TERM": "linux", "LANG": "zh_CN.UTF-8"}, Device: "/dev/tty1", Glyphs: true}, Profile{Console, true, false, 16, 10, "en"}},
		"console's font":  {Facts{Env: env{"TERM": "linux"}, Device: "/dev/tty1"}, Profile{Console, false, false, 16, 10, "en"}},
		"serial":          {Facts{Env: env{"TERM": "vt220"}, Device: "/dev/ttyS0"}, Profile{Serial, false, false, 0, 4, "en"}},
		"serial as xterm": {Facts{Env: env{"TERM": "xterm", "LANG": "C.UTF-8"}, Device: "/dev/ttyAMA0"}, Profile{Serial, false, false, 16, 4, "en"}},
		"vt220 anywhere":  {Facts{Env: env{"TERM": "vt220", "LANG": "C.UTF-8"}, Device: "/dev/pts/0"}, Profile{Serial, false, false, 0, 4, "en"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := New(c.facts); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestSpeak(t *testing.T) {
	t.Parallel()
	if l := (Profile{Wide: true}).Speak(message.Chinese); l != message.Chinese {
		t.Error(l)
	}
	if l := (Profile{}).Speak(message.Chinese); l != message.English {
		t.Error(l)
	}
}
