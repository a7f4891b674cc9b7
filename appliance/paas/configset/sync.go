package configset

import (
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

// Deed is what becomes of a key on the right.
type Deed string

// The deeds.
const (
	DeedSet      Deed = "set"      // it gets the value of the left
	DeedUnset    Deed = "unset"    // the left has taken it back
	DeedKeep     Deed = "keep"     // only the right has changed it
	DeedPinned   Deed = "pinned"   // it belongs to one of the two
	DeedConflict Deed = "conflict" // both have changed it
)

// Choice is what is done about conflicts.
type Choice string

// The choices. With ChooseNone nothing at all is changed while there is a conflict.
const (
	ChooseNone  Choice = ""
	ChooseLeft  Choice = "left"
	ChooseRight Choice = "right"
	ChooseSkip  Choice = "skip"
)

// Step is what a sync does about one key, and why.
type Step struct {
	Key         string
	Deed        Deed
	Why         string
	Left, Right *Value // of the layers themselves, nil where they have none
}

// SyncRequest is a sync of one layer into the same layer of another environment.
type SyncRequest struct {
	From        string // the environment on the left
	Left, Right *v1alpha1.ConfigSet
	Keys        []string // none means all
	Choice      Choice
}

// SyncPlan is what a sync does.
type SyncPlan struct {
	Steps     []Step // keys that are alike are left out
	Conflicts int    // that nobody has decided on
	// Spec is what the right layer is to be afterwards: what it is already while there are conflicts with ChooseNone.
	Spec v1alpha1.ConfigSetSpec
}

// Changes says whether the plan changes a value.
func (p SyncPlan) Changes() bool {
	return slices.ContainsFunc(p.Steps, func(s Step) bool { return s.Deed == DeedSet || s.Deed == DeedUnset })
}

// Sync plans to take from the left what it has changed since the last sync, or since the beginning if there was none. It
// changes nothing that it is given. An error means that a value could not be read.
func (r Reader) Sync(q SyncRequest, now metav1.Time) (SyncPlan, error) {
	p := SyncPlan{Spec: *q.Right.Spec.DeepCopy()}
	synced := map[string]v1alpha1.ConfigSynced{}
	for _, s := range q.Right.Spec.Synced {
		for _, k := range s.Keys {
			if s.From == q.From {
				synced[k.Key] = k
			}
		}
	}
	for _, key := range q.keys(synced) {
		left, err := r.Value(q.Left.Spec.Layer, q.Left.Spec.Entry(key))
		if err != nil {
			return p, fmt.Errorf("%s of %s: %w", key, q.From, err)
		}
		right, err := r.Value(q.Right.Spec.Layer, q.Right.Spec.Entry(key))
		if err != nil {
			return p, fmt.Errorf("%s of %s: %w", key, q.Right.Namespace, err)
		}
		step, note := decide(key, left, right, synced[key], q.Choice)
		if step.Deed != "" {
			p.Steps = append(p.Steps, step)
		}
		if step.Deed == DeedConflict {
			p.Conflicts++
		}
		if note {
			p.carryOut(step, q.Left)
			synced[key] = settled(key, left, right, step.Deed)
		}
	}
	p.record(q.From, synced, now)
	if p.Conflicts > 0 && q.Choice == ChooseNone {
		p.Spec = *q.Right.Spec.DeepCopy()
	}
	return p, nil
}

// keys are those that either side has, or had at the last sync.
func (q SyncRequest) keys(synced map[string]v1alpha1.ConfigSynced) []string {
	var keys []string
	for key := range synced {
		if len(q.Keys) == 0 || slices.Contains(q.Keys, key) {
			keys = append(keys, key)
		}
	}
	for _, spec := range []*v1alpha1.ConfigSetSpec{&q.Left.Spec, &q.Right.Spec} {
		for _, e := range spec.Entries {
			if len(q.Keys) == 0 || slices.Contains(q.Keys, e.Key) {
				keys = append(keys, e.Key)
			}
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// decide says what to do about a key, and whether both sides are settled then. What was not synced yet began with no value.
func decide(key string, left, right *Value, last v1alpha1.ConfigSynced, choice Choice) (step Step, note bool) {
	step = Step{Key: key, Left: left, Right: right}
	byLeft, byRight := left.mark() != last.Left, right.mark() != last.Right
	switch {
	case Same(left, right):
		return step, true
	case right != nil && right.Pinned:
		step.Deed, step.Why = DeedPinned, "pinned where it would go"
	case left != nil && left.Pinned:
		step.Deed, step.Why = DeedPinned, "pinned where it comes from"
	case !byLeft && !byRight:
		step.Deed, step.Why = DeedKeep, "both are what they were at the last sync"
	case !byLeft:
		step.Deed, step.Why = DeedKeep, "changed there only"
	case !byRight:
		return take(step), true
	default:
		return resolve(step, choice)
	}
	return step, false
}

func take(step Step) Step {
	step.Deed, step.Why = DeedSet, "changed where it comes from"
	if step.Left == nil {
		step.Deed, step.Why = DeedUnset, "taken back where it comes from"
	}
	return step
}

func resolve(step Step, choice Choice) (Step, bool) {
	switch choice {
	case ChooseLeft:
		step = take(step)
		step.Why = "changed on both sides; the left was chosen"
		return step, true
	case ChooseRight:
		step.Deed, step.Why = DeedKeep, "changed on both sides; the right was chosen"
		return step, true
	}
	step.Deed, step.Why = DeedConflict, "changed on both sides since the last sync"
	return step, false
}

// settled notes what both sides are afterwards.
func settled(key string, left, right *Value, deed Deed) v1alpha1.ConfigSynced {
	note := v1alpha1.ConfigSynced{Key: key, Left: left.mark(), Right: right.mark()}
	if deed == DeedSet || deed == DeedUnset {
		note.Right = note.Left
	}
	return note
}

func (p *SyncPlan) carryOut(step Step, left *v1alpha1.ConfigSet) {
	switch step.Deed {
	case DeedSet:
		e := *left.Spec.Entry(step.Key).DeepCopy()
		Put(&p.Spec, e)
	case DeedUnset:
		Remove(&p.Spec, step.Key)
	}
}

// record replaces what was noted of the last sync, unless nothing is new.
func (p *SyncPlan) record(from string, synced map[string]v1alpha1.ConfigSynced, now metav1.Time) {
	var keys []v1alpha1.ConfigSynced
	for _, k := range sorted(synced) {
		if k.Left != "" || k.Right != "" {
			keys = append(keys, k)
		}
	}
	i := slices.IndexFunc(p.Spec.Synced, func(s v1alpha1.ConfigSync) bool { return s.From == from })
	switch {
	case i >= 0 && slices.Equal(p.Spec.Synced[i].Keys, keys), i < 0 && len(keys) == 0:
	case i >= 0:
		p.Spec.Synced[i].Keys, p.Spec.Synced[i].At = keys, now
	default:
		p.Spec.Synced = append(p.Spec.Synced, v1alpha1.ConfigSync{From: from, At: now, Keys: keys})
	}
}
