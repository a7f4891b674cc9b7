package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"text/tabwriter"
	"time"
)

// row is one figure with its target; a target of 0 means that there is none.
type row struct {
	what, unit      string
	value, target   float64
	baseline        float64 // what it is compared with in the same run; 0 for none
	baselineMeaning string
}

type table struct{ rows []row }

func (t *table) add(r row) { t.rows = append(t.rows, r) }

func (r row) verdict() string {
	switch {
	case r.target == 0:
		return "-"
	case r.value <= r.target:
		return "met"
	}
	return fmt.Sprintf("MISSED by %.0f %%", (r.value/r.target-1)*100)
}

func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nFIGURE\tVALUE\tTARGET\t\tBASELINE\tRATIO")
	for _, r := range t.rows {
		target, base, ratio := "-", "-", "-"
		if r.target > 0 {
			target = "<= " + number(r.target) + " " + r.unit
		}
		if r.baseline > 0 {
			base, ratio = number(r.baseline)+" "+r.unit+" "+r.baselineMeaning, fmt.Sprintf("%.2f", r.value/r.baseline)
		}
		fmt.Fprintf(w, "%s\t%s %s\t%s\t%s\t%s\t%s\n", r.what, number(r.value), r.unit, target, r.verdict(), base, ratio)
	}
	return w.Flush()
}

func number(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// appendTo keeps history: each run is a section of its own.
func (t *table) appendTo(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "\n## %s, %d processors, %s\n\n```", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	if err := t.write(&text); err != nil {
		return err
	}
	text.WriteString("```\n")
	if _, err := f.Write(text.Bytes()); err != nil {
		return err
	}
	return f.Close()
}

// median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
