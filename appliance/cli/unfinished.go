package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
	"islet/appliance/wizard"
)

// beginning is what is known before anybody was asked.
type beginning struct {
	order *wizard.Order // of an installation that was interrupted; nil where there was none
	given [][2]string   // questions and their answers; an empty one is none
}

// recall looks for what an earlier run has left: an installation goes on with the same answers, a machine that was let in by
// a site with its token.
func recall() beginning {
	l := layout.Default()
	if o, err := readInstalling(l); err == nil {
		if _, err := os.Stat(l.Config()); err == nil {
			o.Answers = nil // what is installed counts: somebody may have corrected it
		}
		return beginning{order: &o}
	}
	if _, err := os.Stat(l.Joining()); err == nil {
		return beginning{given: [][2]string{{wizard.Action, wizard.ActionJoin}}}
	}
	return beginning{}
}

// noteInstalling keeps the answers until the installation is through.
func noteInstalling(l layout.Layout, o wizard.Order) error {
	data, err := json.MarshalIndent(o, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(l.Installing()), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(l.Installing(), append(data, '\n'), 0o600)
}

func readInstalling(l layout.Layout) (wizard.Order, error) {
	var o wizard.Order
	data, err := os.ReadFile(l.Installing())
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(data, &o); err != nil {
		return o, fmt.Errorf("decode %s: %w", l.Installing(), err)
	}
	return o, nil
}

func forgetInstalling(l layout.Layout) error {
	err := os.Remove(l.Installing())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
