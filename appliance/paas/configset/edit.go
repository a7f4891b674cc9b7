package configset

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"islet/appliance/paas/v1alpha1"
)

// Put puts an entry into a layer, in the order of keys, in place of one of the same key.
func Put(spec *v1alpha1.ConfigSetSpec, e v1alpha1.ConfigEntry) {
	Remove(spec, e.Key)
	i, _ := slices.BinarySearchFunc(spec.Entries, e.Key, func(have v1alpha1.ConfigEntry, key string) int { return strings.Compare(have.Key, key) })
	spec.Entries = slices.Insert(spec.Entries, i, e)
}

// Remove takes an entry out of a layer, and says whether there was one.
func Remove(spec *v1alpha1.ConfigSetSpec, key string) bool {
	before := len(spec.Entries)
	spec.Entries = slices.DeleteFunc(spec.Entries, func(e v1alpha1.ConfigEntry) bool { return e.Key == key })
	slices.SortFunc(spec.Entries, func(a, b v1alpha1.ConfigEntry) int { return strings.Compare(a.Key, b.Key) })
	return len(spec.Entries) < before
}

// PutRule puts a rule into a layer, in place of one for the same key, and says whether it is another.
func PutRule(spec *v1alpha1.ConfigSetSpec, rule v1alpha1.ConfigRule) bool {
	i := slices.IndexFunc(spec.Rules, func(have v1alpha1.ConfigRule) bool { return have.Key == rule.Key })
	switch {
	case i < 0:
		spec.Rules = append(spec.Rules, rule)
	case equality.Semantic.DeepEqual(spec.Rules[i], rule):
		return false
	default:
		spec.Rules[i] = rule
	}
	return true
}

// Equal says whether two layers say the same.
func Equal(a, b v1alpha1.ConfigSetSpec) bool { return equality.Semantic.DeepEqual(a, b) }

func sorted[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, m[k])
	}
	return out
}
