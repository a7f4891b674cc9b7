// Package preflight asks whether this machine can run the platform, before anything is changed on
// it. Every check measures, names its threshold, and says what to do next.
package preflight

import (
	"context"
	"fmt"
)

// Status is the outcome of a check.
type Status string

// The outcomes. Only Failed stops an installation; Warned means that the platform copes, and how.
const (
	Passed Status = "ok"
	Info   Status = "info"
	Warned Status = "warning"
	Failed Status = "error"
)

// Result is the answer of one check, for people and programs.
type Result struct {
	ID        string   `json:"id"`
	Title     string   `json:"title"`
	Status    Status   `json:"status"`
	Found     string   `json:"found"`               // what was measured, with its unit
	Value     *float64 `json:"value,omitempty"`     // the same as a number, where it is one
	Unit      string   `json:"unit,omitempty"`      // of Value: bytes, ms, count
	Threshold string   `json:"threshold,omitempty"` // what would have passed
	Advice    string   `json:"advice,omitempty"`    // what to do next; empty when passed
}

// Check is one question about the machine.
type Check interface {
	ID() string
	// Run measures and judges. It should return soon after ctx is done.
	Run(ctx context.Context) Result
}

// check is a Check made of a probe, which touches the machine, and a judge, which is pure. Tests
// replace the first and feed the second.
type check[T any] struct {
	id    string
	title string
	probe func(context.Context) (T, error)
	judge func(T) verdict
}

func (c check[T]) ID() string { return c.id }

// Run never fails an installation because something could not be measured: it warns.
func (c check[T]) Run(ctx context.Context) Result {
	measured, err := c.probe(ctx)
	v := verdict{status: Warned, found: fmt.Sprintf("could not be measured: %v", err), advice: "run appliance preflight as root; if it stays, report it"}
	if err == nil {
		v = c.judge(measured)
	}
	r := Result{ID: c.id, Title: c.title, Status: v.status, Found: v.found, Unit: v.unit, Threshold: v.threshold, Advice: v.advice}
	if v.unit != "" {
		r.Value = &v.value
	}
	return r
}

// verdict is what a judge says of a measurement.
type verdict struct {
	status    Status
	found     string
	value     float64
	unit      string
	threshold string
	advice    string
}

// known makes a probe of something that was measured already, such as a field of host.Facts.
func known[T any](value T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return value, nil }
}

// limits are the bounds of a number: below fail it fails, below warn it warns.
type limits struct{ fail, warn float64 }

func (l limits) judge(value float64) Status {
	switch {
	case value < l.fail:
		return Failed
	case value < l.warn:
		return Warned
	default:
		return Passed
	}
}

// unless returns the advice for anything but a pass.
func unless(status Status, advice string) string {
	if status == Passed {
		return ""
	}
	return advice
}

// sizeText writes a number of bytes with a unit that people compare by.
func sizeText(n int64) string {
	switch value := float64(n); {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", value/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.0f MiB", value/(1<<20))
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
