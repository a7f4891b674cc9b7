package lab

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
)

// links is what is wrong with the lab's cabling; it is kept in the run directory.
type links struct {
	Down  []string    `json:"down"`  // hosts whose cable is pulled
	Apart [][2]string `json:"apart"` // hosts that do not reach each other, each pair in order
}

func (l links) isDown(host string) bool { return slices.Contains(l.Down, host) }

func (l *Lab) readLinks() (links, error) {
	var state links
	err := readJSON(l.layout.links(l.record.Name), &state)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return state, err
}

// Cut pulls the host's cable: its eth0 loses the carrier. It stays pulled over a power cut, until Heal.
func (h *Host) Cut(ctx context.Context) error { return h.setCable(ctx, true) }

// Heal plugs the cable in again.
func (h *Host) Heal(ctx context.Context) error { return h.setCable(ctx, false) }

func (h *Host) setCable(ctx context.Context, cut bool) error {
	return h.locked(ctx, func(*os.File) error {
		state, err := h.lab.readLinks()
		if err != nil {
			return err
		}
		state.Down = slices.DeleteFunc(state.Down, func(name string) bool { return name == h.Name() })
		if cut {
			state.Down = append(state.Down, h.Name())
		}
		if err := writeJSON(h.lab.layout.links(h.lab.Name()), state); err != nil {
			return err
		}
		return setCable(h.lab.layout.switchNetns(h.lab.Name()), h.Name(), cut)
	})
}

// CutFrom drops everything between two hosts at the switch; both keep their carrier and reach all others.
func (h *Host) CutFrom(ctx context.Context, other *Host) error { return h.setApart(ctx, other, true) }

// HealFrom undoes CutFrom.
func (h *Host) HealFrom(ctx context.Context, other *Host) error {
	return h.setApart(ctx, other, false)
}

func (h *Host) setApart(ctx context.Context, other *Host, apart bool) error {
	if h.Name() == other.Name() {
		return errors.New("a host cannot be cut from itself")
	}
	return h.locked(ctx, func(*os.File) error {
		state, err := h.lab.readLinks()
		if err != nil {
			return err
		}
		pair := [2]string{min(h.Name(), other.Name()), max(h.Name(), other.Name())}
		state.Apart = slices.DeleteFunc(state.Apart, func(p [2]string) bool { return p == pair })
		if apart {
			state.Apart = append(state.Apart, pair)
		}
		if err := writeJSON(h.lab.layout.links(h.lab.Name()), state); err != nil {
			return err
		}
		filter, err := openFilter(h.lab.layout.switchNetns(h.lab.Name()))
		if err != nil {
			return err
		}
		return errors.Join(filter.cut(state.Apart), filter.close())
	})
}
