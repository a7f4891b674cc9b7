package configset

import (
	"slices"

	"islet/appliance/paas/v1alpha1"
)

// Sides are two environments of a tenant at one place: the layers that count there, and the tenant's base, which both have.
type Sides struct {
	Application string // empty for the environments' own layers
	Base        *v1alpha1.ConfigSet
	Left, Right Layers // base included
}

// Side says which of two environments differs from what both have as their base.
type Side string

// The sides.
const (
	SideNone  Side = "same"
	SideLeft  Side = "left"
	SideRight Side = "right"
	SideBoth  Side = "both"
)

// Row is one key, compared.
type Row struct {
	Key               string
	Base, Left, Right *Value // nil where there is none
	Changed           Side   // SideNone where both are alike, also where both differ from the base
}

// Diff compares the keys of a place three ways: what the base says, what holds left and what holds right.
func (r Reader) Diff(s Sides) ([]Row, []Problem) {
	base, wrong := r.Effective(only(s.Base))
	left, wrongLeft := r.Effective(s.Left)
	right, wrongRight := r.Effective(s.Right)
	var keys []string
	for _, values := range [][]Value{base, left, right} {
		for _, v := range values {
			if s.Application == "" || v.Layer == v1alpha1.LayerApplication {
				keys = append(keys, v.Key)
			}
		}
	}
	slices.Sort(keys)
	var out []Row
	for _, key := range slices.Compact(keys) {
		row := Row{Key: key, Base: Find(base, key), Left: Find(left, key), Right: Find(right, key)}
		row.Changed = changed(row)
		out = append(out, row)
	}
	return out, slices.Concat(wrong, wrongLeft, wrongRight)
}

func changed(r Row) Side {
	switch {
	case Same(r.Left, r.Right):
		return SideNone
	case Same(r.Base, r.Right):
		return SideLeft
	case Same(r.Base, r.Left):
		return SideRight
	}
	return SideBoth
}

func only(set *v1alpha1.ConfigSet) Layers {
	if set == nil {
		return nil
	}
	return Layers{set}
}
