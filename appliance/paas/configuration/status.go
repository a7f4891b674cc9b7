package configuration

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// keepHistory is how many revisions a status tells of.
const keepHistory = 20

// refuse says what is wrong with a layer. The revision stays: what runs goes on with it.
func (r *Reconciler) refuse(ctx context.Context, set *v1alpha1.ConfigSet, reason, message string) error {
	return r.status(ctx, set, func(*v1alpha1.ConfigSetStatus) {}, reason, message)
}

// accept says what holds. A base has nothing rendered of its own.
func (r *Reconciler) accept(ctx context.Context, set *v1alpha1.ConfigSet, values []configset.Value, made *rendered) error {
	return r.status(ctx, set, func(s *v1alpha1.ConfigSetStatus) {
		sources := sourcesOf(values)
		if revision := configset.Revision(values); revision != s.Revision {
			entry := v1alpha1.ConfigRevision{Revision: revision, At: r.now(), Changed: changedKeys(s.Sources, sources)}
			s.History = append([]v1alpha1.ConfigRevision{entry}, s.History...)
			s.History = s.History[:min(len(s.History), keepHistory)]
			s.Revision = revision
		}
		s.Sources = sources
		if made != nil {
			s.Variables, s.Files, s.Secrets = "", "", ""
			if made.variables != nil {
				s.Variables = made.variables.Name
			}
			if made.files != nil {
				s.Files = made.files.Name
			}
			if made.secrets != nil {
				s.Secrets = made.secrets.Name
			}
		}
	}, "Ready", "")
}

func (r *Reconciler) status(ctx context.Context, set *v1alpha1.ConfigSet, change func(*v1alpha1.ConfigSetStatus), reason, message string) error {
	before := set.DeepCopy()
	change(&set.Status)
	set.Status.ObservedGeneration = set.Generation
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: set.Generation}
	if message != "" {
		c.Status = metav1.ConditionFalse
	}
	meta.SetStatusCondition(&set.Status.Conditions, c)
	if equality.Semantic.DeepEqual(before.Status, set.Status) {
		return nil
	}
	return r.Status().Patch(ctx, set, client.MergeFrom(before), client.FieldOwner(fieldManager))
}

func sourcesOf(values []configset.Value) []v1alpha1.ConfigSource {
	var out []v1alpha1.ConfigSource
	for _, v := range values {
		out = append(out, v1alpha1.ConfigSource{Key: v.Key, Kind: v.Kind, Layer: v.Layer, Digest: v.Digest})
	}
	return out
}

// changedKeys are those with another value or kind.
func changedKeys(before, after []v1alpha1.ConfigSource) []string {
	marks := map[string]string{}
	for _, s := range before {
		marks[s.Key] = string(s.Kind) + s.Digest
	}
	var out []string
	for _, s := range after {
		if marks[s.Key] != string(s.Kind)+s.Digest {
			out = append(out, s.Key)
		}
		delete(marks, s.Key)
	}
	for key := range marks {
		out = append(out, key)
	}
	slices.Sort(out)
	return out
}
