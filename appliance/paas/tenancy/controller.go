package tenancy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// fieldManager owns the fields that the platform sets; what others set beside them stays.
const fieldManager = "islet-tenancy"

// Reconciler brings tenants about: all environments of one at a time, since they share its quota.
type Reconciler struct {
	client.Client
	// Domain is that of the site's applications.
	Domain string
}

// AddTo registers the reconciler. It is called for a tenant when anything of it changes, and what it has made included.
func (r *Reconciler) AddTo(m manager.Manager) error {
	ofTenant := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		tenant := o.GetLabels()[v1alpha1.LabelTenant]
		if e, ok := o.(*v1alpha1.Environment); ok {
			tenant = e.Spec.Tenant
		}
		if tenant == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: tenant}}}
	})
	ofNamespace := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		var e v1alpha1.Environment
		if o.GetLabels()[Managed] != ofEnvironment || r.Get(ctx, client.ObjectKey{Name: o.GetNamespace()}, &e) != nil {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Name: e.Spec.Tenant}}}
	})
	b := builder.ControllerManagedBy(m).Named("tenancy").For(&v1alpha1.Tenant{}).
		Watches(&v1alpha1.Environment{}, ofTenant).Watches(&corev1.Namespace{}, ofTenant)
	for _, kind := range namespaced() {
		b = b.Watches(kind, ofNamespace)
	}
	return b.Complete(r)
}

// namespaced are the kinds of what an environment's namespace gets.
func namespaced() []client.Object {
	return []client.Object{&corev1.ResourceQuota{}, &corev1.LimitRange{}, &networkingv1.NetworkPolicy{}, &rbacv1.RoleBinding{}}
}

// Reconcile implements reconcile.Reconciler.
func (r *Reconciler) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var list v1alpha1.EnvironmentList
	if err := r.List(ctx, &list); err != nil {
		return reconcile.Result{}, err
	}
	own := slices.DeleteFunc(list.Items, func(e v1alpha1.Environment) bool {
		return e.Spec.Tenant != request.Name || !e.DeletionTimestamp.IsZero()
	})
	var tenant v1alpha1.Tenant
	err := r.Get(ctx, request.NamespacedName, &tenant)
	if apierrors.IsNotFound(err) {
		return reconcile.Result{}, r.orphan(ctx, request.Name, own)
	}
	if err != nil || !tenant.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, err
	}
	grant := NewGrant(&tenant, own)
	var errs []error
	var names, wrong []string
	for i := range own {
		e := &own[i]
		names = append(names, e.Name)
		if err := r.environment(ctx, &tenant, e, grant.Refused[e.Name]); err != nil {
			errs = append(errs, fmt.Errorf("environment %s: %w", e.Name, err))
			wrong = append(wrong, e.Name)
		} else if grant.Refused[e.Name] != "" {
			wrong = append(wrong, e.Name)
		}
	}
	errs = append(errs, r.access(ctx, &tenant, names), r.tenantStatus(ctx, &tenant, int32(len(own)), grant, wrong))
	return ctrl.Result{}, errors.Join(errs...)
}

// orphan says of environments that there is no such tenant. They keep what they have: a tenant that was removed by mistake can be
// made again.
func (r *Reconciler) orphan(ctx context.Context, tenant string, environments []v1alpha1.Environment) error {
	var errs []error
	for i := range environments {
		errs = append(errs, r.environmentStatus(ctx, &environments[i], "NoTenant", "there is no tenant "+tenant+": make it, or remove the environment"))
	}
	return errors.Join(errs...)
}

// environment applies what an environment consists of, removes what it no longer does, and says so in its status.
func (r *Reconciler) environment(ctx context.Context, t *v1alpha1.Tenant, e *v1alpha1.Environment, refused string) error {
	err := r.applyEnvironment(ctx, t, e, refused != "")
	reason, message := "Ready", ""
	switch {
	case err != nil:
		reason, message = "Failed", err.Error()
	case refused != "":
		reason, message = "Refused", refused
	}
	return errors.Join(err, r.environmentStatus(ctx, e, reason, message))
}

func (r *Reconciler) applyEnvironment(ctx context.Context, t *v1alpha1.Tenant, e *v1alpha1.Environment, refused bool) error {
	var existing corev1.Namespace
	err := r.Get(ctx, client.ObjectKey{Name: e.Name}, &existing)
	switch {
	case apierrors.IsNotFound(err):
	case err != nil:
		return err
	case existing.Labels[v1alpha1.LabelTenant] != t.Name:
		return fmt.Errorf("there is a namespace %s that is not this environment's: remove it, or name the environment otherwise", e.Name)
	case !existing.DeletionTimestamp.IsZero():
		return fmt.Errorf("the namespace %s is still being removed", e.Name)
	}
	wanted := objects(t, e, refused)
	if err := controllerutil.SetControllerReference(e, wanted[0], r.Scheme()); err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, o := range wanted {
		if err := r.apply(ctx, o); err != nil {
			return err
		}
		kept[key(o)] = true
	}
	return r.prune(ctx, e.Name, kept)
}

func key(o client.Object) string { return fmt.Sprintf("%T/%s", o, o.GetName()) }

func (r *Reconciler) apply(ctx context.Context, o client.Object) error {
	//nolint:staticcheck // typed objects; Client.Apply takes generated apply configurations only
	err := r.Patch(ctx, o, client.Apply, client.FieldOwner(fieldManager), client.ForceOwnership)
	if err != nil {
		return fmt.Errorf("apply %s %s: %w", o.GetObjectKind().GroupVersionKind().Kind, o.GetName(), err)
	}
	return nil
}

// prune removes what the platform has made in a namespace and does not want there any more.
func (r *Reconciler) prune(ctx context.Context, namespace string, kept map[string]bool) error {
	for _, list := range []client.ObjectList{&corev1.ResourceQuotaList{}, &corev1.LimitRangeList{}, &networkingv1.NetworkPolicyList{}, &rbacv1.RoleBindingList{}} {
		if err := r.List(ctx, list, client.InNamespace(namespace), client.MatchingLabels{Managed: ofEnvironment}); err != nil {
			return err
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			o := item.(client.Object)
			if kept[key(o)] {
				return nil
			}
			return client.IgnoreNotFound(r.Delete(ctx, o))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) access(ctx context.Context, t *v1alpha1.Tenant, environments []string) error {
	slices.Sort(environments)
	for _, o := range access(t, environments) {
		if err := controllerutil.SetControllerReference(t, o, r.Scheme()); err != nil {
			return err
		}
		if err := r.apply(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reconciler) environmentStatus(ctx context.Context, e *v1alpha1.Environment, reason, message string) error {
	before := e.DeepCopy()
	e.Status.ObservedGeneration, e.Status.Domain = e.Generation, Domain(e, r.Domain)
	setReady(&e.Status.Conditions, reason, message, e.Generation)
	if equality.Semantic.DeepEqual(before.Status, e.Status) {
		return nil
	}
	return r.Status().Patch(ctx, e, client.MergeFrom(before), client.FieldOwner(fieldManager))
}

func (r *Reconciler) tenantStatus(ctx context.Context, t *v1alpha1.Tenant, environments int32, g Grant, wrong []string) error {
	before := t.DeepCopy()
	t.Status.ObservedGeneration, t.Status.Environments, t.Status.Granted = t.Generation, environments, g.Sum
	reason, message := "Ready", ""
	if len(wrong) > 0 {
		reason, message = "Environments", "not ready: "+strings.Join(wrong, ", ")
	}
	setReady(&t.Status.Conditions, reason, message, t.Generation)
	if equality.Semantic.DeepEqual(before.Status, t.Status) {
		return nil
	}
	return r.Status().Patch(ctx, t, client.MergeFrom(before), client.FieldOwner(fieldManager))
}

// setReady says that all is there, or why it is not.
func setReady(conditions *[]metav1.Condition, reason, message string, generation int64) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: reason, Message: message, ObservedGeneration: generation}
	if message != "" {
		c.Status = metav1.ConditionFalse
	}
	meta.SetStatusCondition(conditions, c)
}
