package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestStrategyFlags(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		flags strategyFlags
		want  string // the strategy, or a part of the error
	}{
		"none":          {strategyFlags{}, "null"},
		"rolling":       {strategyFlags{kind: "rolling"}, `{"kind":"Rolling"}`},
		"blue-green":    {strategyFlags{kind: "blue-green", keep: time.Minute}, `{"kind":"BlueGreen","keepSeconds":60}`},
		"ab":            {strategyFlags{kind: "ab", steps: []string{"10%:5m", "50"}, header: "X=a=b"}, `{"kind":"AB","steps":[{"weight":10,"holdSeconds":300},{"weight":50}],"header":{"name":"X","value":"a=b"}}`},
		"a cookie":      {strategyFlags{kind: "ab", cookie: "c=1"}, `{"kind":"AB","cookie":{"name":"c","value":"1"}}`},
		"unknown":       {strategyFlags{kind: "canary"}, "want rolling, blue-green or ab"},
		"steps of none": {strategyFlags{steps: []string{"10"}}, "are of --strategy ab"},
		"kept by none":  {strategyFlags{keep: time.Minute}, "nothing to keep"},
		"half a second": {strategyFlags{kind: "ab", keep: time.Millisecond}, "whole seconds"},
		"too much":      {strategyFlags{kind: "ab", steps: []string{"101"}}, "from 0 to 100"},
		"a bad time":    {strategyFlags{kind: "ab", steps: []string{"10:soon"}}, "after the colon"},
		"half a pair":   {strategyFlags{kind: "ab", header: "X"}, "want NAME=VALUE"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := c.flags.strategy()
			raw, _ := json.Marshal(s)
			if err != nil {
				raw = []byte(err.Error())
			}
			if !strings.Contains(string(raw), c.want) {
				t.Errorf("%s, want %s", raw, c.want)
			}
		})
	}
}
