// Package configset works out what configuration holds: layers put together, rules checked, environments compared and brought
// closer to each other. It only computes: the command line and the controller read and write.
package configset

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"islet/appliance/paas/v1alpha1"
)

// Reader reads the values of a tenant.
type Reader struct {
	Keys   Keys
	Tenant string
}

// Value is what holds for a key.
type Value struct {
	Key    string
	Kind   v1alpha1.ConfigKind
	Text   string // in clear
	Layer  v1alpha1.ConfigLayer
	Pinned bool
	Digest string
}

// Same says whether two values, nil for none, are alike for what runs.
func Same(a, b *Value) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.mark() == b.mark()
}

// mark stands for what runs sees of the value.
func (v *Value) mark() string {
	if v == nil {
		return ""
	}
	return string(v.Kind) + ":" + v.Digest
}

// Shown is the value for people: secrets by their digest.
func (v *Value) Shown() string {
	switch {
	case v == nil:
		return ""
	case v.Kind == v1alpha1.KindSecret:
		return "(secret " + v.Digest + ")"
	}
	return v.Text
}

// Problem is what is wrong with a key.
type Problem struct {
	Key     string
	Text    string
	Missing bool // a later layer may have it
}

// Own leaves out what later layers may have.
func Own(problems []Problem) []Problem {
	return slices.DeleteFunc(problems, func(p Problem) bool { return p.Missing })
}

func (p Problem) String() string { return p.Key + ": " + p.Text }

// Summary is one cause for all, empty for none.
func Summary(problems []Problem) string {
	switch len(problems) {
	case 0:
		return ""
	case 1:
		return problems[0].String()
	}
	return fmt.Sprintf("%s (and %d more)", problems[0], len(problems)-1)
}

// Layers are those of one place, the first to the last. None is nil.
type Layers []*v1alpha1.ConfigSet

// Value reads an entry.
func (r Reader) Value(layer v1alpha1.ConfigLayer, e *v1alpha1.ConfigEntry) (*Value, error) {
	if e == nil {
		return nil, nil
	}
	v := &Value{Key: e.Key, Kind: e.Kind, Layer: layer, Pinned: e.Pinned}
	if e.Kind == "" {
		v.Kind = v1alpha1.KindPlain
	}
	var err error
	switch {
	case v.Kind == v1alpha1.KindSecret && e.Sealed != nil:
		v.Text, err = r.Keys.Open(r.Tenant, e.Key, *e.Sealed)
	case v.Kind != v1alpha1.KindSecret && e.Value != nil:
		v.Text = *e.Value
	default:
		err = fmt.Errorf("an entry of kind %s has no value", v.Kind)
	}
	v.Digest = r.Keys.Digest(r.Tenant, v.Text)
	return v, err
}

// Effective puts layers together: what holds, by key in their order, and what is wrong. A key that cannot be read is left out.
func (r Reader) Effective(layers Layers) ([]Value, []Problem) {
	found, problems := map[string]Value{}, []Problem(nil)
	for _, l := range layers {
		for i := range l.Spec.Entries {
			e := &l.Spec.Entries[i]
			v, err := r.Value(l.Spec.Layer, e)
			if err != nil {
				problems = append(problems, Problem{Key: e.Key, Text: err.Error()})
				delete(found, e.Key)
				continue
			}
			found[e.Key] = *v
		}
	}
	problems = append(problems, check(layers, found)...)
	out := make([]Value, 0, len(found))
	for _, v := range found {
		out = append(out, v)
	}
	slices.SortFunc(out, func(a, b Value) int { return strings.Compare(a.Key, b.Key) })
	slices.SortFunc(problems, func(a, b Problem) int { return cmp.Or(strings.Compare(a.Key, b.Key), strings.Compare(a.Text, b.Text)) })
	return out, slices.Compact(problems)
}

// Revision names values: equal ones have the same, on any server of the site.
func Revision(values []Value) string {
	sum := sha256.New()
	for _, v := range values {
		fmt.Fprintf(sum, "%q %s\n", v.Key, v.mark())
	}
	return hex.EncodeToString(sum.Sum(nil)[:5])
}

// Find is the value of a key, nil if there is none.
func Find(values []Value, key string) *Value {
	i, ok := slices.BinarySearchFunc(values, key, func(v Value, key string) int { return strings.Compare(v.Key, key) })
	if !ok {
		return nil
	}
	return &values[i]
}
