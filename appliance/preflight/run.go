package preflight

import (
	"context"
	"sync"
	"time"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
)

// Input is everything the checks are about.
type Input struct {
	Config config.Config
	Layout layout.Layout
	Facts  host.Facts
	Build  time.Time     // when this program was built; zero when unknown
	Shift  time.Duration // by how much its clock will be set before anything else
	Joins  bool          // the machine is to join a site, whose servers may hold its virtual addresses
}

// Checks returns all checks in the order in which they are shown.
func Checks(in Input) []Check {
	var all []Check
	all = append(all, identityChecks(in)...)
	all = append(all, resourceChecks(in)...)
	all = append(all, diskChecks(in)...)
	all = append(all, kernelChecks(in)...)
	all = append(all, networkChecks(in)...)
	all = append(all, databaseCheck(in)...)
	all = append(all, portCheck(in), kubernetesCheck(in), engineCheck(in), firewallCheck(in), allowlistCheck(in))
	return all
}

// Report is the outcome of all checks.
type Report struct {
	Status  Status        `json:"status"` // the worst of the results
	Results []Result      `json:"results"`
	Took    time.Duration `json:"tookNanoseconds"`
}

// Run runs the checks side by side and returns their results in the order given. A check that is
// not done when the deadline passes is reported as a warning; if it hangs in the kernel, as on a
// dead disk, its goroutine is left behind, because nothing can end it.
func Run(ctx context.Context, checks []Check, deadline time.Duration) Report {
	started := time.Now()
	ctx, cancel := context.WithTimeout(ctx, deadline)
	defer cancel()
	report := Report{Status: Passed, Results: make([]Result, len(checks))}
	var mu sync.Mutex
	done := make(chan struct{}, len(checks))
	finished := false
	for i, c := range checks {
		report.Results[i] = Result{
			ID: c.ID(), Title: c.ID(), Status: Warned, Found: "no answer within " + deadline.String(),
			Advice: "look for a disk or a network that does not answer (dmesg), and run it again",
		}
		go func() {
			result := c.Run(ctx)
			mu.Lock()
			defer mu.Unlock()
			if !finished {
				report.Results[i] = result
			}
			done <- struct{}{}
		}()
	}
	for range checks {
		select {
		case <-done:
			continue
		case <-ctx.Done():
		}
		break
	}
	mu.Lock()
	defer mu.Unlock()
	finished = true
	report.Took = time.Since(started)
	for _, r := range report.Results {
		report.Status = worse(report.Status, r.Status)
	}
	return report
}

func worse(a, b Status) Status {
	rank := map[Status]int{Passed: 0, Info: 0, Warned: 1, Failed: 2}
	if rank[b] > rank[a] {
		return b
	}
	return a
}
