package release

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"islet/appliance/paas/application"
	"islet/appliance/paas/v1alpha1"
)

// Outcome is how the job of a hook ended.
type Outcome struct {
	Succeeded, Failed bool
	Message           string // of the last run that failed; empty if that is not known
}

// hooks says whether all hooks of a kind have done their work, and lets the next one begin. One that fails fails the order.
func hooks(o *v1alpha1.ReleaseOrder, f Facts, when, ending string) bool {
	for _, h := range f.Release.Spec.Hooks {
		if h.When != when {
			continue
		}
		i := slices.IndexFunc(o.Status.Hooks, func(s v1alpha1.HookStatus) bool { return s.Name == h.Name })
		if i >= 0 && o.Status.Hooks[i].Done {
			continue
		}
		out, what := f.Outcomes[h.Name], "the hook "+h.Name+" runs"
		if i < 0 && o.Spec.Paused {
			what = pausedMessage
		} else if i < 0 {
			o.Status.Hooks = append(o.Status.Hooks, v1alpha1.HookStatus{Name: h.Name, Job: jobName(o, h.Name), ServiceEnding: ending})
			record(o, f.Now, what)
		} else if s := &o.Status.Hooks[i]; out.Failed {
			fail(o, f, fmt.Sprintf("the hook %s failed: %s", h.Name, cmp.Or(out.Message, s.Message)))
			return false
		} else if s.Message = cmp.Or(out.Message, s.Message); out.Succeeded { // pods that have failed too often are removed
			s.Done, o.Status.Since = true, stamp(f.Now) // its time is not that of the rollout
			continue
		}
		enter(o, f.Now, o.Status.Phase, what)
		return false
	}
	return true
}

// jobName is that of a hook's job, within 63 characters.
func jobName(o *v1alpha1.ReleaseOrder, hook string) string {
	const most = 63
	name := o.Name + "-" + hook
	if len(name) <= most {
		return name
	}
	sum := sha256.Sum256([]byte(name))
	return strings.TrimRight(name[:most-9], "-.") + "-" + hex.EncodeToString(sum[:4])
}

// running is the hook that an order waits for; nil if there is none.
func running(o *v1alpha1.ReleaseOrder) *v1alpha1.HookStatus {
	for i := range o.Status.Hooks {
		if s := &o.Status.Hooks[i]; !s.Done && (o.Status.Phase == v1alpha1.PhaseRunning || o.Status.Phase == v1alpha1.PhaseVerifying) {
			return s
		}
	}
	return nil
}

// runHook makes the job of the hook that an order waits for, unless it is there.
func (r *Reconciler) runHook(ctx context.Context, o *v1alpha1.ReleaseOrder, f Facts) error {
	s := running(o)
	if s == nil || f.Release == nil {
		return nil
	}
	i := slices.IndexFunc(f.Release.Spec.Hooks, func(h v1alpha1.Hook) bool { return h.Name == s.Name })
	if i < 0 {
		return nil
	}
	job := application.Job(s.Job, f.Release, &f.Release.Spec.Hooks[i], s.ServiceEnding, application.PlaceOf(f.Environment, ""))
	if err := controllerutil.SetControllerReference(o, job, r.Scheme()); err != nil {
		return err
	}
	if err := r.Create(ctx, job, client.FieldOwner(fieldManager)); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("run the hook %s: %w", s.Name, err)
	}
	return nil
}

// outcome looks how the job of the hook went that an order waits for. Nothing of jobs is kept in the cache.
func (r *Reconciler) outcome(ctx context.Context, o *v1alpha1.ReleaseOrder) (map[string]Outcome, error) {
	s := running(o)
	if s == nil {
		return nil, nil
	}
	var job batchv1.Job
	if err := r.Live.Get(ctx, client.ObjectKey{Namespace: o.Namespace, Name: s.Job}, &job); err != nil {
		return nil, client.IgnoreNotFound(err) // it is made in this step
	}
	out := Outcome{Message: r.lastWords(ctx, &job)}
	for _, c := range job.Status.Conditions {
		switch {
		case c.Status != corev1.ConditionTrue:
		case c.Type == batchv1.JobComplete:
			out.Succeeded = true
		case c.Type == batchv1.JobFailed:
			out.Failed, out.Message = true, cmp.Or(out.Message, running(o).Message, c.Message)
		}
	}
	return map[string]Outcome{s.Name: out}, nil
}

// lastWords is what the last run of a job that has failed said at its end; empty if there is none.
func (r *Reconciler) lastWords(ctx context.Context, job *batchv1.Job) string {
	var list corev1.PodList
	if err := r.Live.List(ctx, &list, client.InNamespace(job.Namespace), client.MatchingLabels{batchv1.JobNameLabel: job.Name}); err != nil {
		return "" // Kubernetes has its own words for it
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return b.CreationTimestamp.Compare(a.CreationTimestamp.Time) })
	for _, p := range list.Items {
		for _, c := range p.Status.ContainerStatuses {
			for _, end := range []*corev1.ContainerStateTerminated{c.State.Terminated, c.LastTerminationState.Terminated} {
				if end != nil && end.ExitCode != 0 {
					lines := strings.Split(strings.TrimSpace(end.Message), "\n")
					words := strings.TrimSuffix(fmt.Sprintf("exit code %d: %s", end.ExitCode, lines[len(lines)-1]), ": ")
					return words[:min(len(words), maxWords)]
				}
			}
		}
	}
	return ""
}

// maxWords is how much of it is kept, in bytes.
const maxWords = 400
