package catalogue

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

// fieldManager owns the fields that this controller sets.
const fieldManager = "islet-catalogue"

// lookAgain is when an instance that is not ready is looked at again: some causes come with time alone. lookAfter is when one that is
// ready is, whose Secrets no cache has: one that was taken away is made again.
const (
	lookAgain = 3 * time.Second
	lookAfter = 5 * time.Minute
)

// again is when something of the state is looked at next, if nothing changes.
func again(s v1alpha1.State) reconcile.Result {
	if s == v1alpha1.StateReady {
		return reconcile.Result{RequeueAfter: lookAfter}
	}
	return reconcile.Result{RequeueAfter: lookAgain}
}

// Instances brings instances about.
type Instances struct {
	client.Client
	// Live reads from the API what no cache has.
	Live client.Reader
}

// AddTo registers the reconciler. It is called for an instance when anything of it changes, what was made for it, its class or
// its environment included.
func (r *Instances) AddTo(m manager.Manager) error {
	byLabel := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		name := o.GetLabels()[v1alpha1.LabelService]
		if name == "" {
			return nil
		}
		return []reconcile.Request{{NamespacedName: client.ObjectKey{Namespace: o.GetNamespace(), Name: name}}}
	})
	ofClass := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return r.those(ctx, func(i *v1alpha1.ServiceInstance) bool { return i.Spec.Class == o.GetName() })
	})
	ofEnvironment := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		return r.those(ctx, func(i *v1alpha1.ServiceInstance) bool { return i.Namespace == o.GetName() })
	})
	return builder.ControllerManagedBy(m).Named("service").For(&v1alpha1.ServiceInstance{}).
		Watches(&v1alpha1.ServiceClass{}, ofClass).Watches(&v1alpha1.Environment{}, ofEnvironment).
		Watches(&appsv1.StatefulSet{}, byLabel).Watches(&corev1.Service{}, byLabel).Watches(&corev1.Pod{}, byLabel).Complete(r)
}

func (r *Instances) those(ctx context.Context, wanted func(*v1alpha1.ServiceInstance) bool) (out []reconcile.Request) {
	var list v1alpha1.ServiceInstanceList
	if r.List(ctx, &list) != nil {
		return nil // the cache is not there yet: each is looked at then anyway
	}
	for i := range list.Items {
		if wanted(&list.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}

// Reconcile implements reconcile.Reconciler.
func (r *Instances) Reconcile(ctx context.Context, request reconcile.Request) (reconcile.Result, error) {
	var i v1alpha1.ServiceInstance
	if err := r.Get(ctx, request.NamespacedName, &i); err != nil || !i.DeletionTimestamp.IsZero() {
		return reconcile.Result{}, client.IgnoreNotFound(err)
	}
	before := i.DeepCopy()
	err := r.bring(ctx, &i)
	s := &i.Status
	s.ObservedGeneration = i.Generation
	setReady(&s.Conditions, word{s.State, s.Reason, s.Message}, i.Generation)
	if !equality.Semantic.DeepEqual(before.Status, i.Status) {
		if err := r.Status().Patch(ctx, &i, client.MergeFrom(before), client.FieldOwner(fieldManager)); err != nil {
			return reconcile.Result{}, client.IgnoreNotFound(err)
		}
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return again(s.State), nil
}

// bring makes what an instance consists of and fills its status. Its error is worth another try; it is in the status, too.
func (r *Instances) bring(ctx context.Context, i *v1alpha1.ServiceInstance) error {
	w, said, err := r.want(ctx, i)
	if err == nil && said.State == "" {
		said, err = r.make(ctx, w)
	}
	if err != nil {
		said = failed(err)
	}
	i.Status.State, i.Status.Reason, i.Status.Message = said.State, said.Reason, said.Message
	return err
}

// want finds what an instance is to be made from; a word says what is missing for that.
func (r *Instances) want(ctx context.Context, i *v1alpha1.ServiceInstance) (w wanted, said word, err error) {
	var class v1alpha1.ServiceClass
	var e v1alpha1.Environment
	err = r.Get(ctx, client.ObjectKey{Name: i.Namespace}, &e)
	if apierrors.IsNotFound(err) {
		return w, degraded("NoEnvironment", "the namespace "+i.Namespace+" is no environment: appliance env create makes one"), nil
	}
	if err != nil {
		return w, said, err
	}
	err = r.Get(ctx, client.ObjectKey{Name: i.Spec.Class}, &class)
	if apierrors.IsNotFound(err) {
		return w, degraded("NoClass", "the catalogue has no service "+i.Spec.Class+": see appliance service classes"), nil
	}
	if err != nil {
		return w, said, err
	}
	plan := class.Spec.Plan(i.Spec.Plan)
	if plan == nil {
		return w, degraded("NoPlan", fmt.Sprintf("service %s has no plan %s, but %s", class.Name, i.Spec.Plan, planNames(&class))), nil
	}
	if least := e.Rules().MinReplicas; plan.Replicas < least {
		return w, degraded("Refused", fmt.Sprintf("environment %s is of class %s: everything runs with at least %d replicas, and plan %s of %s has %d",
			e.Name, e.Spec.Class, least, plan.Name, class.Name, plan.Replicas)), nil
	}
	w = wanted{instance: i, plan: plan, recipe: recipes[class.Spec.Engine], nodePool: e.Spec.NodePool}
	i.Status.Version, i.Status.Host, i.Status.Port = class.Spec.Version, Host(i), w.recipe.port
	return w, said, nil
}

func planNames(c *v1alpha1.ServiceClass) string {
	var out []string
	for _, p := range c.Spec.Plans {
		out = append(out, p.Name)
	}
	return strings.Join(out, ", ")
}

// make makes the objects, and says how what they stand for is.
func (r *Instances) make(ctx context.Context, w wanted) (word, error) {
	var err error
	if w.secret, err = r.secret(ctx, w); err != nil {
		return word{}, err
	}
	o := owned{Client: r.Client, live: r.Live}
	for _, object := range w.objects() {
		if err := o.put(ctx, w.instance, object); err != nil {
			return word{}, err
		}
	}
	seen, err := r.observe(ctx, w.instance)
	if err != nil {
		return word{}, err
	}
	return judge(w, seen), nil
}

// secret is that of an instance as it is stored. Its password is made once; when the secret is taken away, there is a new one.
func (r *Instances) secret(ctx context.Context, w wanted) (*corev1.Secret, error) {
	password, err := storedPassword(ctx, r.Live, w.instance)
	if err != nil {
		return nil, err
	}
	if password == "" {
		password = rand.Text()
	}
	s := w.newSecret(password)
	o := owned{Client: r.Client, live: r.Live}
	return s, o.put(ctx, w.instance, s)
}

// storedPassword is that of an instance; empty when there is none yet.
func storedPassword(ctx context.Context, live client.Reader, i *v1alpha1.ServiceInstance) (string, error) {
	var s corev1.Secret
	err := live.Get(ctx, client.ObjectKey{Namespace: i.Namespace, Name: secretName(i)}, &s)
	if apierrors.IsNotFound(err) || err == nil && !ours(&s) {
		return "", nil // what is somebody else's is refused where it would be written
	}
	return string(s.Data[v1alpha1.KeyPassword]), err
}

// observe reads what there is, and what was said about it when something is not as it should be.
func (r *Instances) observe(ctx context.Context, i *v1alpha1.ServiceInstance) (observed, error) {
	seen := observed{now: time.Now()}
	if err := r.Get(ctx, client.ObjectKeyFromObject(i), &seen.set); client.IgnoreNotFound(err) != nil {
		return seen, err
	}
	var pods corev1.PodList
	if err := r.List(ctx, &pods, client.InNamespace(i.Namespace), client.MatchingLabels{v1alpha1.LabelService: i.Name}); err != nil {
		return seen, fmt.Errorf("list pods: %w", err)
	}
	seen.pods = pods.Items
	if seen.done() {
		return seen, nil
	}
	var events corev1.EventList
	if err := r.List(ctx, &events, client.InNamespace(i.Namespace)); err != nil {
		return seen, fmt.Errorf("list events: %w", err)
	}
	seen.events = slices.DeleteFunc(events.Items, func(e corev1.Event) bool { return !strings.Contains(e.InvolvedObject.Name, i.Name) })
	return seen, nil
}
