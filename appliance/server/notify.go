package server

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd, where it started this process, that the daemon runs, and then twice per
// watchdog interval that it still answers. The cluster's readiness is no part of that: what is not
// ready must not be restarted for it. It returns when ctx is done.
func (n *node) notify(ctx context.Context) {
	if ok, err := daemon.SdNotify(false, daemon.SdNotifyReady); err != nil {
		n.Log.Warn("systemd does not hear that the daemon runs", "error", err)
	} else if !ok {
		return // started by something else
	}
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil || interval == 0 {
		return
	}
	tick := time.NewTicker(interval / 2)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			_, _ = daemon.SdNotify(false, daemon.SdNotifyStopping)
			return
		case <-tick.C:
		}
		n.supervisor.Snapshot() // takes the lock that everything else does
		if _, err := daemon.SdNotify(false, daemon.SdNotifyWatchdog); err != nil {
			n.Log.Warn("systemd does not hear that the daemon answers", "error", err)
		}
	}
}
