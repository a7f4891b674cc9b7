package install

import (
	"context"
	"errors"
	"os"
	"testing"

	"islet/systemd"
)

// What is put back comes before the answer file: a machine is a node only when it has both.
func TestInstallRestores(t *testing.T) {
	t.Parallel()
	m := newMachine(t, true)
	failure, tries := errors.New("no space"), 0
	m.Restore = &Restore{Site: "plant", Detail: "put back", Place: func(context.Context) error {
		tries++
		if _, err := os.Stat(m.ConfigPath); err == nil {
			t.Error("there is an answer file already")
		}
		if tries == 1 {
			return failure
		}
		return nil
	}}
	if _, err := m.install(t); !errors.Is(err, failure) {
		t.Errorf("%v", err)
	}
	m.expect(t, "again", []string{"restore", "config", "unit", "service", "service", "service"},
		[]string{"daemon-reload", "enable " + systemd.UnitName, "enable " + systemd.ConsoleName, "start " + systemd.UnitName})
	m.Restore.Done = true
	m.expect(t, "done", nil, nil)
	if tries != 2 {
		t.Errorf("%d tries", tries)
	}
}
