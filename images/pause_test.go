package images

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"islet/images/program"
)

func decodeFile(path string, value any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return json.Unmarshal(content, value)
}

func buildPause(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "pause")
	c := program.C{Source: "images/pause/pause.c", Defines: map[string]string{"VERSION": "v9"}}
	if err := c.Build(t.Context(), "..", out); err != nil {
		t.Fatal(err)
	}
	return out
}

func TestPauseVersion(t *testing.T) {
	t.Parallel()
	said, err := exec.CommandContext(t.Context(), buildPause(t), "-v").CombinedOutput()
	if err != nil || string(said) != "pause v9\n" {
		t.Errorf("said %q, error %v", said, err)
	}
}

// TestPauseAsFirstProcess starts pause as the first process of a namespace, as in a pod.
func TestPauseAsFirstProcess(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Skip("needs root for a pid namespace")
	}
	for name, signal := range map[string]syscall.Signal{"SIGTERM": syscall.SIGTERM, "SIGINT": syscall.SIGINT} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pause := exec.CommandContext(t.Context(), buildPause(t))
			pause.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
			if err := pause.Start(); err != nil {
				t.Skipf("needs a pid namespace: %v", err)
			}
			pid := strconv.Itoa(pause.Process.Pid)
			// The shell ends before its child, which pause then adopts and, when that ends too, has to reap.
			if err := exec.CommandContext(t.Context(), "nsenter", "--target", pid, "--pid", "sh", "-c", "sleep 600 &").Run(); err != nil {
				t.Fatal(err)
			}
			children := func() []string {
				content, err := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
				if err != nil {
					t.Fatal(err)
				}
				return strings.Fields(string(content))
			}
			eventually(t, "the orphan to be adopted", func() bool { return len(children()) == 1 })
			orphan, err := strconv.Atoi(children()[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := syscall.Kill(orphan, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the orphan to be reaped", func() bool { return len(children()) == 0 })
			if err := pause.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			if err := pause.Wait(); err != nil {
				t.Errorf("ended with %v, want status 0", err)
			}
		})
	}
}

// eventually fails the test if the condition does not come true within ten seconds.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
