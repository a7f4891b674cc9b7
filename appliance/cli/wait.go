package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"islet/appliance/api"
)

const waitInterval = 100 * time.Millisecond

// waitReady returns the status once everything is ready, or with a zero wait at once. A daemon that
// does not answer yet is waited for too. When the time is up the error says what was still missing.
func waitReady(ctx context.Context, client *api.Client, wait time.Duration) (api.Status, error) {
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		s, err := client.Status(ctx)
		if err == nil && (s.Ready || wait == 0) {
			return s, nil
		}
		if err != nil && (wait == 0 || !errors.Is(err, api.ErrUnreachable)) {
			return s, err
		}
		if time.Now().After(deadline) {
			return s, notReady(s, err, wait)
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-tick.C:
		}
	}
}

// notReady says what was still missing when the time was up; unreachable is why the daemon did not
// answer, nil when it did.
func notReady(s api.Status, unreachable error, wait time.Duration) error {
	if unreachable != nil {
		return Exit(CodeTimeout, fmt.Errorf("not ready after %s: %w", wait, unreachable))
	}
	var waiting []string
	for _, c := range unready(s) {
		text := fmt.Sprintf("%s is %s", c.Name, c.State)
		if c.Reason != "" {
			text += " (" + c.Reason + ")"
		}
		waiting = append(waiting, text)
	}
	err := fmt.Errorf("not ready after %s: %s", wait, strings.Join(waiting, "; "))
	return Exit(CodeTimeout, Advise(err, "see `appliance status` for what each component waits for"))
}
