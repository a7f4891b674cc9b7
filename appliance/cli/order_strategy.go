package cli

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/paas/v1alpha1"
)

// strategyFlags say how a release takes the place of the one before.
type strategyFlags struct {
	kind           string
	steps          []string
	header, cookie string
	keep           time.Duration
}

var strategyKinds = map[string]string{"": "", "rolling": v1alpha1.StrategyRolling, "blue-green": v1alpha1.StrategyBlueGreen, "ab": v1alpha1.StrategyAB}

func (f *strategyFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.kind, "strategy", "", "`HOW` the release takes its place: rolling, blue-green or ab (default: rolling)")
	flags.StringArrayVar(&f.steps, "step", nil, "of ab: `PERCENT[:TIME]` of the requests for the new release, and for how long; may be given several times (default: 50:30s)")
	flags.StringVar(&f.header, "header", "", "of ab: requests with the header `NAME=VALUE` get to the new release")
	flags.StringVar(&f.cookie, "cookie", "", "of ab: requests with the cookie `NAME=VALUE` get to the new release")
	flags.DurationVar(&f.keep, "keep", 0, "of blue-green and ab: `TIME` that the old release stays beside the new one (default: 1m)")
	offer(cmd, "strategy", "rolling", "blue-green", "ab")
}

// strategy is what the flags say; nil if nothing.
func (f *strategyFlags) strategy() (*v1alpha1.Strategy, error) {
	kind, ok := strategyKinds[f.kind]
	if !ok {
		return nil, fmt.Errorf("--strategy %s: want rolling, blue-green or ab", f.kind)
	}
	if f.keep%time.Second != 0 || f.keep < 0 {
		return nil, fmt.Errorf("--keep %s: want whole seconds", f.keep)
	}
	s := &v1alpha1.Strategy{Kind: kind, KeepSeconds: int32(f.keep / time.Second)}
	for _, text := range f.steps {
		step, err := parseStep(text)
		if err != nil {
			return nil, err
		}
		s.Steps = append(s.Steps, step)
	}
	var err error
	if s.Header, err = parsePair("header", f.header); err != nil {
		return nil, err
	}
	if s.Cookie, err = parsePair("cookie", f.cookie); err != nil {
		return nil, err
	}
	switch {
	case kind != v1alpha1.StrategyAB && (len(s.Steps) > 0 || s.Header != nil || s.Cookie != nil):
		return nil, fmt.Errorf("--step, --header and --cookie are of --strategy ab")
	case (kind == "" || kind == v1alpha1.StrategyRolling) && f.keep > 0:
		return nil, fmt.Errorf("--keep is of --strategy blue-green and ab: a rolling update leaves nothing to keep")
	case kind == "":
		return nil, nil
	}
	return s, nil
}

// parseStep reads PERCENT[:TIME].
func parseStep(text string) (v1alpha1.WeightStep, error) {
	percent, hold, timed := strings.Cut(text, ":")
	weight, err := strconv.ParseUint(strings.TrimSuffix(percent, "%"), 10, 8)
	if err != nil || weight > 100 {
		return v1alpha1.WeightStep{}, fmt.Errorf("--step %s: want a number from 0 to 100, and perhaps a time, such as 10:5m", text)
	}
	step := v1alpha1.WeightStep{Weight: int32(weight)}
	if timed {
		d, err := time.ParseDuration(hold)
		if err != nil || d < time.Second || d%time.Second != 0 {
			return step, fmt.Errorf("--step %s: want whole seconds after the colon, such as 10:5m", text)
		}
		step.HoldSeconds = int32(d / time.Second)
	}
	return step, nil
}

func parsePair(flag, text string) (*v1alpha1.Pair, error) {
	if text == "" {
		return nil, nil
	}
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" || value == "" {
		return nil, fmt.Errorf("--%s %s: want NAME=VALUE", flag, text)
	}
	return &v1alpha1.Pair{Name: name, Value: value}, nil
}
