package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"islet/appliance/atomicfile"
	"islet/systemd"
)

const (
	configMode = 0o600 // an answer file may hold what is nobody's business
	unitMode   = 0o644
)

func (p *planner) config(context.Context) error {
	o := p.options
	old, err := os.ReadFile(o.ConfigPath)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.add(KindConfig, o.ConfigPath, "write the answer file", false, func(context.Context) error {
			return writeFile(o.ConfigPath, o.Config, configMode)
		})
		return nil
	case err != nil:
		return err
	case bytes.Equal(old, o.Config):
		info, err := os.Stat(o.ConfigPath)
		done := err == nil && info.Mode().Perm() == configMode
		p.add(KindConfig, o.ConfigPath, "keep the answer file private", done, func(context.Context) error {
			return os.Chmod(o.ConfigPath, configMode)
		})
		return err
	case !o.Force:
		return fmt.Errorf("%s: %w", o.ConfigPath, ErrDiffers)
	}
	backup := o.ConfigPath + "." + time.Now().UTC().Format("20060102T150405Z")
	p.add(KindConfig, backup, "keep the answer file of before", false, func(context.Context) error {
		return atomicfile.Write(backup, old, configMode)
	})
	p.add(KindConfig, o.ConfigPath, "replace the answer file", false, func(context.Context) error {
		return atomicfile.Write(o.ConfigPath, o.Config, configMode)
	})
	return nil
}

func writeFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.Write(path, data, mode)
}

// unit writes the units. Where another init runs there is nothing to write them for.
func (p *planner) unit(context.Context) error {
	m := p.options.Machine
	if !m.Systemd {
		return nil
	}
	files := map[string]string{}
	for path, content := range systemd.Files() {
		files[m.Root+path] = content
	}
	delete(files, m.Root+systemd.UnitPath)
	files[m.Unit] = systemd.Unit()
	same := true
	for path, content := range files {
		old, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		same = same && string(old) == content
	}
	p.add(KindUnit, m.Unit, "write the units, the console's screen among them, and let systemd read them", same, func(ctx context.Context) error {
		for path, content := range files {
			if err := writeFile(path, []byte(content), unitMode); err != nil {
				return err
			}
		}
		return m.Control(ctx, "daemon-reload")
	})
	return nil
}

// screen enables the console's screen for the next boot, once: who has disabled it wants it so. It is not started: somebody
// may be logged in there, and this may be their doing.
func (p *planner) screen() {
	m := p.options.Machine
	_, err := os.Lstat(m.ConsoleLink)
	done := err == nil || !p.changes(KindUnit)
	p.add(KindService, systemd.ConsoleName, "enable: show the state of the site on the first console from the next boot on; Alt-F2 is a login", done, func(ctx context.Context) error {
		return m.Control(ctx, "enable", systemd.ConsoleName)
	})
}

func (p *planner) service(ctx context.Context) error {
	m := p.options.Machine
	if !m.Systemd {
		return nil
	}
	_, err := os.Lstat(m.Link)
	p.add(KindService, systemd.UnitName, "enable: start at every boot", err == nil, func(ctx context.Context) error {
		return m.Control(ctx, "enable", systemd.UnitName)
	})
	p.screen()
	if !p.options.Start {
		return nil
	}
	verb, active := "start", m.Active(ctx)
	changed := p.changes(KindExecutable) || p.changes(KindConfig) || p.changes(KindUnit)
	if active && changed {
		verb = "restart"
	}
	p.add(KindService, systemd.UnitName, verb, active && !changed, func(ctx context.Context) error {
		return m.Control(ctx, verb, systemd.UnitName)
	})
	return nil
}
