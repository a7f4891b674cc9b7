package application

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/paas/v1alpha1"
)

// Observed is what there is of an application.
type Observed struct {
	Deployments  map[string]*appsv1.Deployment  // by name
	StatefulSets map[string]*appsv1.StatefulSet // by name
	Pods         []corev1.Pod
	// Events of pods and of stateful sets; may be nil as long as all is well.
	Events []corev1.Event
	// Missing are needed services that nobody answers for.
	Missing []string
	Now     time.Time
}

// Judge says how an application is: one state, with one cause. Components, State, Reason, Message and Ready of the status are set.
func Judge(a *v1alpha1.Application, p Place, seen Observed, status *v1alpha1.ApplicationStatus) {
	status.Components = nil
	var causes []Cause
	var wanted, ready int32
	done := true
	for i := range a.Spec.Components {
		c := &a.Spec.Components[i]
		s, complete, cause := component(a, c, p, seen)
		status.Components = append(status.Components, s)
		causes = append(causes, cause)
		wanted, ready, done = wanted+s.Wanted, ready+s.Ready, done && complete
	}
	status.Ready = fmt.Sprintf("%d/%d", ready, wanted)
	status.State, status.Reason, status.Message = state(a, seen, done, causes)
	if status.State == v1alpha1.StateProgressing && status.Message == "" {
		status.Message = progress(status.Components)
	}
}

func state(a *v1alpha1.Application, seen Observed, done bool, causes []Cause) (v1alpha1.State, string, string) {
	if a.Spec.Stopped {
		if len(seen.Pods) > 0 || !done {
			return v1alpha1.StateProgressing, ReasonStopping, fmt.Sprintf("stopping: %d pods are left", len(seen.Pods))
		}
		return v1alpha1.StateStopped, ReasonStopped, ""
	}
	cause := worst(causes)
	if len(seen.Missing) > 0 && (!done || !cause.none()) {
		message := "it needs the service " + seen.Missing[0] + ", which nobody answers for"
		if !cause.none() {
			message += " (" + cause.Message + ")"
		}
		cause = Cause{ReasonNeed, message}
	}
	switch {
	case !cause.none():
		return v1alpha1.StateDegraded, cause.Reason, cause.Message
	case done:
		return v1alpha1.StateReady, "", ""
	case a.Spec.Paused:
		return v1alpha1.StateProgressing, ReasonPaused, "the rollout is paused"
	}
	return v1alpha1.StateProgressing, ReasonRollingOut, ""
}

// progress says how far each component is that is not done.
func progress(components []v1alpha1.ComponentStatus) string {
	var out []string
	for _, c := range components {
		if c.Updated < c.Wanted || c.Ready < c.Wanted {
			out = append(out, fmt.Sprintf("%s: %d of %d are new, %d ready", c.Name, c.Updated, c.Wanted, c.Ready))
		}
	}
	return cmp.Or(strings.Join(out, "; "), "old pods end")
}

// component says how one is, whether all of it is as it should be, and what keeps it from that.
func component(a *v1alpha1.Application, c *v1alpha1.Component, p Place, seen Observed) (s v1alpha1.ComponentStatus, done bool, cause Cause) {
	s = v1alpha1.ComponentStatus{Name: c.Name, Image: c.Image, Wanted: Replicas(a, c, p)}
	var causes []Cause
	name := workload(a, c)
	if c.Stateful() {
		if o := seen.StatefulSets[name]; o != nil && o.Status.ObservedGeneration >= o.Generation {
			s.Updated, s.Ready = o.Status.UpdatedReplicas, o.Status.ReadyReplicas
			if o.Status.UpdateRevision == o.Status.CurrentRevision {
				s.Updated = max(s.Updated, o.Status.CurrentReplicas) // unset once all are of one revision
			}
			done = s.Updated == s.Wanted && s.Ready == s.Wanted && o.Status.Replicas == s.Wanted
			causes = append(causes, notMade(c, name, seen, o.Status.Replicas < s.Wanted))
		}
	} else if o := seen.Deployments[name]; o != nil && o.Status.ObservedGeneration >= o.Generation {
		s.Updated, s.Ready = o.Status.UpdatedReplicas, o.Status.ReadyReplicas
		done = s.Updated == s.Wanted && s.Ready == s.Wanted && o.Status.Replicas == s.Wanted
		for _, condition := range o.Status.Conditions {
			if condition.Type == appsv1.DeploymentReplicaFailure && condition.Status == corev1.ConditionTrue {
				causes = append(causes, OfCreation(c.Name, condition.Message))
			}
		}
	}
	newest := pods(a, c, p).Labels[labelRevision]
	for i := range seen.Pods { // what is wrong with those that are being replaced is over soon
		if of(&seen.Pods[i], c) && seen.Pods[i].Labels[labelRevision] == newest {
			causes = append(causes, OfPod(c, &seen.Pods[i], seen.Events, seen.Now))
		}
	}
	return s, done, worst(causes)
}

func of(pod *corev1.Pod, c *v1alpha1.Component) bool {
	return pod.Labels[v1alpha1.LabelComponent] == c.Name
}

// Stuck are pods of stateful components that are to be replaced and are not well: Kubernetes would wait for them for ever.
func Stuck(a *v1alpha1.Application, p Place, seen Observed) []*corev1.Pod {
	var out []*corev1.Pod
	for i := range a.Spec.Components {
		c := &a.Spec.Components[i]
		newest := pods(a, c, p).Labels[labelRevision]
		for j := range seen.Pods {
			pod := &seen.Pods[j]
			if c.Stateful() && of(pod, c) && pod.Labels[labelRevision] != newest && !OfPod(c, pod, seen.Events, seen.Now).none() {
				out = append(out, pod)
			}
		}
	}
	return out
}

// eventAge is how long an event counts: what it says may be over.
const eventAge = 5 * time.Minute

// notMade finds why a stateful set has too few pods: it says so by events only.
func notMade(c *v1alpha1.Component, name string, seen Observed, few bool) Cause {
	i := slices.IndexFunc(seen.Events, func(e corev1.Event) bool {
		return few && e.InvolvedObject.Kind == "StatefulSet" && e.InvolvedObject.Name == name && e.Reason == "FailedCreate" && seen.Now.Sub(e.LastTimestamp.Time) < eventAge
	})
	if i < 0 {
		return Cause{}
	}
	return OfCreation(c.Name, seen.Events[i].Message)
}
