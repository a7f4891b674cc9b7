package server

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"islet/appliance/reset"
)

// claim makes this the one daemon of the machine: it takes the lock, refuses while a reset is not
// finished, and records what was on the machine before anything else of the node is made.
func (n *node) claim() (unlock func() error, err error) {
	created := missing(n.layout.RunDir)
	if err := os.MkdirAll(n.layout.RunDir, 0o700); err != nil {
		return nil, err
	}
	unlock, err = lock(n.layout.Lock())
	if err != nil {
		return nil, err
	}
	err = reset.CheckFence(n.layout)
	if err == nil {
		err = reset.Record(reset.NewTarget(n.Config, n.EtcDir), n.Build.Version, created...)
	}
	if err == nil {
		err = n.makeDirs()
	}
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	return unlock, nil
}

// missing lists dir and the directories above it that are not there.
func missing(dir string) []string {
	var dirs []string
	for {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			return dirs
		}
		dirs = append(dirs, dir)
		dir = filepath.Dir(dir)
	}
}
