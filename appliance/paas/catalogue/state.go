package catalogue

import (
	"cmp"
	"fmt"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	apimeta "k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/application"
	"islet/appliance/paas/v1alpha1"
)

// word is a state with its one cause.
type word struct {
	State           v1alpha1.State
	Reason, Message string
}

func degraded(reason, message string) word { return word{v1alpha1.StateDegraded, reason, message} }

// failed is what is said of an error of the API.
func failed(err error) word {
	if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
		return degraded(application.ReasonRefused, err.Error())
	}
	return degraded(application.ReasonFailed, err.Error())
}

// observed is what there is of an instance. events are read only when it is not done.
type observed struct {
	set    appsv1.StatefulSet
	pods   []corev1.Pod
	events []corev1.Event
	now    time.Time
}

// done says whether all pods are of the newest kind and answer.
func (o *observed) done() bool {
	s, replicas := o.set.Status, int32(1)
	if o.set.Spec.Replicas != nil {
		replicas = *o.set.Spec.Replicas
	}
	return o.set.UID != "" && s.ObservedGeneration >= o.set.Generation && s.ReadyReplicas == replicas && s.UpdatedReplicas == replicas && s.UpdateRevision == s.CurrentRevision
}

// eventAge is how long an event counts: what it says may be over.
const eventAge = 5 * time.Minute

// judge says how an instance is.
func judge(w wanted, seen observed) word {
	if seen.done() {
		return word{State: v1alpha1.StateReady}
	}
	c := &v1alpha1.Component{Name: w.instance.Name, Image: w.plan.Image, StartSeconds: w.recipe.startSeconds}
	for i := range seen.pods {
		if cause := application.OfPod(c, &seen.pods[i], seen.events, seen.now); cause.Reason != "" {
			return degraded(cause.Reason, cause.Message)
		}
	}
	for _, e := range seen.events {
		if len(seen.pods) == 0 && e.InvolvedObject.Kind == "StatefulSet" && e.InvolvedObject.Name == w.instance.Name && e.Reason == "FailedCreate" && seen.now.Sub(e.LastTimestamp.Time) < eventAge {
			cause := application.OfCreation(c.Name, e.Message)
			return degraded(cause.Reason, cause.Message)
		}
	}
	return word{v1alpha1.StateProgressing, application.ReasonRollingOut, fmt.Sprintf("%d of %d answer", seen.set.Status.ReadyReplicas, w.plan.Replicas)}
}

// setReady says the same as a condition.
func setReady(conditions *[]metav1.Condition, said word, generation int64) {
	c := metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: cmp.Or(said.Reason, application.ReasonFailed), Message: said.Message, ObservedGeneration: generation}
	if said.State == v1alpha1.StateReady {
		c.Status, c.Reason = metav1.ConditionTrue, "Ready"
	}
	apimeta.SetStatusCondition(conditions, c)
}
