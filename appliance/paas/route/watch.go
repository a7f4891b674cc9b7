package route

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/v1alpha1"
)

const (
	interval = 2 * time.Second
	// lasting is in how many checks in a row a thing must be wrong to be a finding: endpoints follow pods within a second or two.
	// What is just being started takes longer.
	lasting, lastingRule = 2, 4
	// pause is between two attempts to repair the same thing.
	pause = 30 * time.Second
	// the report's bounds, as in its schema
	maxFindings, maxRepaired = 100, 20
)

// Watcher keeps the report on routes up to date, and repairs what it may.
type Watcher struct {
	client.Client // reads from a cache
	Log           *slog.Logger
	reach         reach
	seen          map[v1alpha1.Finding]int // in how many checks in a row; without Since
	tried         map[v1alpha1.Finding]time.Time
}

// NewWatcher returns a watcher that has seen nothing yet.
func NewWatcher(c client.Client, log *slog.Logger) *Watcher {
	return &Watcher{Client: c, Log: log, reach: reach{knock: knocker()}, tried: map[v1alpha1.Finding]time.Time{}}
}

// Start implements manager.Runnable.
func (w *Watcher) Start(ctx context.Context) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if err := w.look(ctx); err != nil && ctx.Err() == nil {
			w.Log.Warn("routes not compared", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look compares once, repairs and reports.
func (w *Watcher) look(ctx context.Context) error {
	maps.DeleteFunc(w.tried, func(_ v1alpha1.Finding, at time.Time) bool { return time.Since(at) >= pause })
	site, err := w.read(ctx)
	if err != nil {
		return err
	}
	return w.report(ctx, w.lasting(check(site)))
}

// lasting returns the findings that were there in the checks before, too.
func (w *Watcher) lasting(all []found) []found {
	before := w.seen
	w.seen = map[v1alpha1.Finding]int{}
	return slices.DeleteFunc(all, func(f found) bool {
		w.seen[f.Finding] = before[f.Finding] + 1
		if f.repair == nil {
			return w.seen[f.Finding] < lastingRule
		}
		return w.seen[f.Finding] < lasting
	})
}

func (w *Watcher) read(ctx context.Context) (Site, error) {
	var s Site
	var nodes corev1.NodeList
	var services corev1.ServiceList
	var endpoints discoveryv1.EndpointSliceList
	var pods corev1.PodList
	var ingresses networkingv1.IngressList
	var applications v1alpha1.ApplicationList
	routes := &unstructured.UnstructuredList{}
	routes.SetGroupVersionKind(HTTPRoutes)
	for _, list := range []client.ObjectList{&nodes, &services, &endpoints, &pods, &ingresses, &applications, routes} {
		// nothing of it is changed, and copies of it all every 2 s would be most of the work
		if err := w.List(ctx, list, client.UnsafeDisableDeepCopy); err != nil && !meta.IsNoMatchError(err) { // a site without a gateway has no routes
			return s, err
		}
	}
	s.Services, s.Slices, s.Pods = services.Items, endpoints.Items, pods.Items
	for i := range ingresses.Items {
		s.Rules = append(s.Rules, ofIngress(&ingresses.Items[i]))
	}
	stopped := map[client.ObjectKey]bool{} // somebody wants that nothing answers there
	for i := range applications.Items {
		stopped[client.ObjectKeyFromObject(&applications.Items[i])] = applications.Items[i].Spec.Stopped
	}
	for i := range routes.Items {
		if stopped[client.ObjectKey{Namespace: routes.Items[i].GetNamespace(), Name: routes.Items[i].GetLabels()[v1alpha1.LabelApplication]}] {
			continue
		}
		r, err := ofHTTPRoute(&routes.Items[i])
		if err != nil {
			return s, err
		}
		s.Rules = append(s.Rules, r)
	}
	if len(nodes.Items) > 1 {
		s.Dead = w.reach.dead(ctx, nodes.Items)
	}
	return s, nil
}

// report writes the report where it changed, after repairing what may be repaired.
func (w *Watcher) report(ctx context.Context, now []found) error {
	r := v1alpha1.HealthReport{ObjectMeta: metav1.ObjectMeta{Name: v1alpha1.RoutesReport}}
	err := w.Get(ctx, client.ObjectKeyFromObject(&r), &r)
	if apierrors.IsNotFound(err) {
		err = w.Create(ctx, &r)
	}
	if err != nil {
		return err
	}
	before := r.DeepCopy()
	w.fill(ctx, &r, now)
	if equality.Semantic.DeepEqual(before.Status, r.Status) {
		return nil
	}
	return w.Status().Patch(ctx, &r, client.MergeFrom(before))
}

// fill puts into the report what is found now. A finding keeps the time since when it is there.
func (w *Watcher) fill(ctx context.Context, r *v1alpha1.HealthReport, now []found) {
	since := map[v1alpha1.Finding]metav1.Time{}
	for _, f := range r.Status.Findings {
		at := f.Since
		f.Since = metav1.Time{}
		since[f] = at
	}
	r.Status.Findings, r.Status.Count = nil, int32(len(now))
	for _, f := range now {
		listed, known := f.Finding, false
		if listed.Since, known = since[f.Finding]; !known {
			listed.Since = metav1.Now()
			w.Log.Warn("routes do not fit together", "code", f.Code, "subject", f.Subject, "detail", f.Detail)
		}
		if f.repair != nil && mayRepair(r.Spec, listed.Since) && time.Since(w.tried[f.Finding]) >= pause {
			r.Status.Repaired = append([]v1alpha1.Repaired{w.repair(ctx, f, listed)}, r.Status.Repaired...)
		}
		if len(r.Status.Findings) < maxFindings {
			r.Status.Findings = append(r.Status.Findings, listed)
		}
	}
	r.Status.Repaired = r.Status.Repaired[:min(len(r.Status.Repaired), maxRepaired)]
}

func mayRepair(s v1alpha1.HealthReportSpec, since metav1.Time) bool {
	return s.Repair != v1alpha1.RepairAsked || s.RepairAsked != nil && !s.RepairAsked.Before(&since)
}

func (w *Watcher) repair(ctx context.Context, f found, listed v1alpha1.Finding) v1alpha1.Repaired {
	done := v1alpha1.Repaired{Finding: listed, At: metav1.Now()}
	w.tried[f.Finding] = done.At.Time
	if err := f.repair.do(ctx, w.Client); err != nil {
		done.Error = err.Error()
	}
	w.Log.Info("route repaired", "subject", f.Subject, "remedy", f.Remedy, "error", done.Error)
	return done
}
