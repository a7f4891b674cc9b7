package e2e

import (
	"bytes"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"islet/appliance/lab"
)

const enter = "\r"

// seat is a terminal that a technician sits at.
type seat struct {
	name string
	size lab.TTYSize
	env  []string
}

// plain says that the terminal shows neither colour nor more than ASCII.
func (s seat) plain() bool { return slices.Contains(s.env, "TERM=vt220") }

// TestScreen makes sites of two machines by keystrokes alone, from the first screen to the green dashboard of each: at a
// usual terminal, at one without colour and Unicode, and at one that has no size besides, as a serial line is.
func TestScreen(t *testing.T) {
	t.Parallel()
	for _, s := range []seat{
		{"usual", usual, []string{"TERM=xterm-256color", "LANG=C.UTF-8"}},
		{"vt220", usual, []string{"TERM=vt220", "LANG=C"}},
		{"serial", unknown, []string{"TERM=vt220"}},
	} {
		t.Run(s.name, func(t *testing.T) {
			all := emptyHosts(t, "tty-"+s.name, 2)
			first, second := all[0], all[1]
			step(t, first, "the first machine", s.install)
			if t.Failed() {
				return
			}
			step(t, second, "one more machine", func(t *testing.T, p *platform) { s.join(t, first, p) })
			rows := runJSON[[]nodeRow](t, first, "node", "list")
			if len(rows) != 2 || rows[0].State != "ready" || rows[1].State != "ready" {
				t.Errorf("nodes %+v", rows)
			}
		})
	}
}

// sit starts the wizard. A terminal that can show no Chinese is not asked for the language.
func (s seat) sit(t *testing.T, p *platform) *console {
	c := sit(t, p.host, s.size, s.env, "appliance")
	if !s.plain() {
		c.see(screenLimit, "Language", "简体中文")
		c.press("2")
		c.see(screenLimit, "语言", "下一步")
		c.press("1" + enter)
	}
	c.see(screenLimit, "Step 1 of 8")
	return c
}

// install makes a site. Whoever joins it has to be approved.
func (s seat) install(t *testing.T, p *platform) {
	c := s.sit(t, p)
	c.see(screenLimit, "components, signed by")
	c.press(enter)
	c.see(screenLimit, "Step 2 of 8: The site")
	c.press("My Plant" + enter)
	c.see(screenLimit, "lower-case")
	c.press("\x15plant" + enter)
	c.see(screenLimit, "Name of the site  plant", "Network zone")
	c.press("\x07") // the list of steps
	c.see(screenLimit, "All steps", "plant, default")
	c.press("8")
	c.see(screenLimit, "Step 8 of 8")
	c.press("1" + enter) // somebody has to approve
	c.see(screenLimit, "Make a recovery key", "machine that joins  yes")
	c.press(enter)
	c.see(screenLimit, "This machine can run the platform")
	c.press("\x1b") // back to the answers, and forth
	c.see(screenLimit, "Step 8 of 8")
	c.press(enter)
	c.see(screenLimit, "This machine can run the platform")
	c.press(enter)
	c.see(screenLimit, "Nothing has been changed so far", "name: plant", "requireApproval: true")
	c.press(enter)
	c.see(readyLimit, "components are ready")
	c.see(readyLimit, "AGE-SECRET-KEY-1", "Type saved and Enter")
	c.press("no" + enter)
	c.see(screenLimit, "> no")
	c.press("\x15saved" + enter)
	c.see(screenLimit, "The node is ready", "node1", "*.apps.plant.internal")
	s.lookAround(t, c)
	if err := p.ready(t.Context()); err != nil {
		t.Error(err)
	}
	p.run(t, "appliance", "backup", "key", "show")
}

// join lets a machine join the site of first by typing a token.
func (s seat) join(t *testing.T, first, p *platform) {
	token := runJSON[struct{ Token string }](t, first, "token", "create").Token
	c := s.sit(t, p)
	c.press("2" + enter)
	c.see(screenLimit, "Step 1 of 2", "Join token")
	c.press("islet-nonsense" + enter)
	c.see(screenLimit, "has a typing error")
	c.press("\x15" + token + enter)
	c.see(screenLimit, "Step 2 of 2: This machine")
	c.press(enter)
	c.see(screenLimit, "on eth0")
	c.press(enter)
	c.see(screenLimit, "This machine can run the platform")
	c.press(enter)
	c.see(screenLimit, "Nothing has been changed so far", "site plant: be let in")
	c.press(enter)
	c.see(screenLimit, "appliance node approve node2", "the same words")
	first.run(t, "appliance", "node", "approve", "node2", "--yes")
	c.see(readyLimit, "The node is ready", "node2")
	s.lookAround(t, c)
}

// lookAround goes on to the dashboard, and ends it when it is green.
func (s seat) lookAround(t *testing.T, c *console) {
	c.press(enter)
	c.see(readyLimit, "Nothing is wrong.")
	c.press("q")
	c.leave()
	if s.plain() {
		plainBytes(t, c.written())
	}
}

// looks are what a terminal without colour is sent beside ASCII: cursor movements, erasing, bold and reverse.
var looks = regexp.MustCompile(`\x1b(\[\??[0-9;]*[A-Za-z]|[()][AB0]|[78=>DEMHc])`)

// plainBytes complains about what a serial terminal would show as noise.
func plainBytes(t *testing.T, written []byte) {
	t.Helper()
	for _, sequence := range looks.FindAll(written, -1) {
		s := string(sequence)
		if strings.HasPrefix(s, "\x1b[?") && !strings.HasPrefix(s, "\x1b[?25") {
			t.Errorf("a private mode: %q", s)
		}
		if strings.HasSuffix(s, "m") && regexp.MustCompile(`[\[;](3|4|9|10)[0-7][;m]`).MatchString(s) {
			t.Errorf("a colour: %q", s)
		}
	}
	if i := bytes.IndexFunc(looks.ReplaceAll(written, nil), func(r rune) bool { return r >= 0x80 || r == 0x1b }); i >= 0 {
		rest := looks.ReplaceAll(written, nil)[i:]
		t.Errorf("more than ASCII: %q", rest[:min(len(rest), 40)])
	}
}

// emptyHosts are hosts with nothing on them but the executable, which is started, and started again, as soon as there is an
// answer file.
func emptyHosts(t *testing.T, name string, hosts int) []*platform {
	t.Helper()
	spec := lab.Spec{Name: fmt.Sprintf("%s%d-%s", labPrefix, os.Getpid(), name), Executable: executable(t)}
	for i := range hosts {
		spec.Hosts = append(spec.Hosts, lab.HostSpec{Name: fmt.Sprintf("node%d", i+1), Boot: lab.Service{
			Args: []string{"sh", "-c", "test -e " + paths.Config() + " && exec appliance server"},
		}})
	}
	return raise(t, spec, time.Now())
}
