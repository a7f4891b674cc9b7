package application

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/v1alpha1"
)

var now = time.Date(2026, 11, 22, 6, 0, 0, 0, time.UTC)

// ago is a time so many seconds before now.
func ago(seconds int) metav1.Time {
	return metav1.NewTime(now.Add(-time.Duration(seconds) * time.Second))
}

// podOf is a pod of the application's newest kind, with a container in a state.
func podOf(a *v1alpha1.Application, s corev1.ContainerStatus) corev1.Pod {
	s.Name = containerName
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "shop-web-1", Labels: pods(a, &a.Spec.Components[0], prod).Labels}}
	pod.Spec.NodeName = "node1"
	pod.Status.Phase, pod.Status.ContainerStatuses = corev1.PodRunning, []corev1.ContainerStatus{s}
	return pod
}

func waiting(reason, message string) corev1.ContainerState {
	return corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func ended(code int32, message string) corev1.ContainerState {
	return corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Message: message}}
}

func running(seconds int) corev1.ContainerState {
	return corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: ago(seconds)}}
}

func unwell(message string) []corev1.Event {
	return []corev1.Event{{Reason: "Unhealthy", Message: message, LastTimestamp: ago(1), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Name: "shop-web-1"}}}
}

// rollout is the status of a deployment of two replicas.
func rollout(replicas, updated, ready int32) map[string]*appsv1.Deployment {
	return map[string]*appsv1.Deployment{"shop-web": {Status: appsv1.DeploymentStatus{Replicas: replicas, UpdatedReplicas: updated, ReadyReplicas: ready}}}
}

func TestJudge(t *testing.T) {
	t.Parallel()
	a := read(t, web)
	pod := func(s corev1.ContainerStatus) []corev1.Pod { return []corev1.Pod{podOf(a, s)} }
	old := podOf(a, corev1.ContainerStatus{State: waiting("CrashLoopBackOff", "")})
	old.Labels[labelRevision] = "old"
	lost := podOf(a, corev1.ContainerStatus{Ready: true})
	lost.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available", LastTransitionTime: ago(9)}}
	full := rollout(0, 0, 0)
	full["shop-web"].Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentReplicaFailure, Status: corev1.ConditionTrue, Message: `pods "x" is forbidden: exceeded quota: islet, requested: pods=1`}}
	for name, c := range map[string]struct {
		seen   Observed
		state  v1alpha1.State
		reason string
		part   string // of the message
	}{
		"ready":               {Observed{Deployments: rollout(2, 2, 2)}, v1alpha1.StateReady, "", ""},
		"nothing yet":         {Observed{}, v1alpha1.StateProgressing, ReasonRollingOut, "web: 0 of 2 are new, 0 ready"},
		"half way":            {Observed{Deployments: rollout(3, 1, 2)}, v1alpha1.StateProgressing, ReasonRollingOut, "web: 1 of 2 are new, 2 ready"},
		"an old one ends":     {Observed{Deployments: rollout(3, 2, 2)}, v1alpha1.StateProgressing, ReasonRollingOut, "old pods end"},
		"old pods fail":       {Observed{Deployments: rollout(3, 1, 2), Pods: []corev1.Pod{old}}, v1alpha1.StateProgressing, ReasonRollingOut, ""},
		"no image":            {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("ImagePullBackOff", "not found")})}, v1alpha1.StateDegraded, ReasonImage, "cannot be had: not found"},
		"bad configuration":   {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("CreateContainerConfigError", `configmap "web" not found`)})}, v1alpha1.StateDegraded, ReasonConfig, `configmap "web" not found`},
		"crash loop":          {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("CrashLoopBackOff", ""), LastTerminationState: ended(3, "begin\nno such table\n")})}, v1alpha1.StateDegraded, ReasonCrash, "exit code 3: no such table"},
		"between two crashes": {Observed{Pods: pod(corev1.ContainerStatus{State: running(1), RestartCount: 2, LastTerminationState: ended(1, "")})}, v1alpha1.StateDegraded, ReasonCrash, "exit code 1"},
		"one crash":           {Observed{Pods: pod(corev1.ContainerStatus{State: running(1), RestartCount: 1, LastTerminationState: ended(1, "")})}, v1alpha1.StateProgressing, ReasonRollingOut, ""},
		"out of memory":       {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("CrashLoopBackOff", ""), LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled"}}})}, v1alpha1.StateDegraded, ReasonCrash, "more memory than its limit"},
		"starting":            {Observed{Pods: pod(corev1.ContainerStatus{State: running(59)}), Events: unwell("Readiness probe failed: 500")}, v1alpha1.StateProgressing, ReasonRollingOut, ""},
		"never ready":         {Observed{Pods: pod(corev1.ContainerStatus{State: running(61)}), Events: unwell("Readiness probe failed: 500")}, v1alpha1.StateDegraded, ReasonProbe, "not ready after 60 s: Readiness probe failed: 500"},
		"killed by its probe": {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("CrashLoopBackOff", ""), RestartCount: 4, LastTerminationState: ended(137, "")}), Events: unwell("Liveness probe failed: 500")}, v1alpha1.StateDegraded, ReasonProbe, "started anew 4 times: Liveness probe failed: 500"},
		"crashed, not killed": {Observed{Pods: pod(corev1.ContainerStatus{State: waiting("CrashLoopBackOff", ""), LastTerminationState: ended(1, "")}), Events: unwell("Startup probe failed: connection refused")}, v1alpha1.StateDegraded, ReasonCrash, "exit code 1"},
		"no node":             {Observed{Pods: []corev1.Pod{lost}}, v1alpha1.StateDegraded, ReasonUnschedulable, "no node can take it: 0/1 nodes are available"},
		"quota":               {Observed{Deployments: full}, v1alpha1.StateDegraded, ReasonQuota, "exceeded quota"},
		"the gravest":         {Observed{Deployments: full, Pods: pod(corev1.ContainerStatus{State: running(99)})}, v1alpha1.StateDegraded, ReasonQuota, "exceeded quota"},
		"nobody answers":      {Observed{Missing: []string{"db"}, Pods: pod(corev1.ContainerStatus{State: waiting("CrashLoopBackOff", ""), LastTerminationState: ended(1, "no db")})}, v1alpha1.StateDegraded, ReasonNeed, "needs the service db, which nobody answers for (web: it ends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.seen.Now = now
			var got v1alpha1.ApplicationStatus
			Judge(a, prod, c.seen, &got)
			if got.State != c.state || got.Reason != c.reason || !strings.Contains(got.Message, c.part) {
				t.Errorf("%s, %s: %s", got.State, got.Reason, got.Message)
			}
		})
	}
}

func TestJudgeStopped(t *testing.T) {
	t.Parallel()
	a := read(t, web)
	a.Spec.Stopped = true
	var got v1alpha1.ApplicationStatus
	Judge(a, prod, Observed{Deployments: rollout(0, 0, 0), Pods: make([]corev1.Pod, 2), Now: now}, &got)
	if got.State != v1alpha1.StateProgressing || got.Reason != ReasonStopping {
		t.Errorf("with pods: %+v", got)
	}
	Judge(a, prod, Observed{Deployments: rollout(0, 0, 0), Now: now}, &got)
	if got.State != v1alpha1.StateStopped || got.Ready != "0/0" {
		t.Errorf("without: %+v", got)
	}
}

// A stateful set waits for a broken pod of the former kind for ever, unless that is taken away.
func TestStuck(t *testing.T) {
	t.Parallel()
	a := read(t, store)
	broken := podOf(a, corev1.ContainerStatus{State: waiting("ImagePullBackOff", "")})
	if got := Stuck(a, prod, Observed{Pods: []corev1.Pod{broken}, Now: now}); len(got) != 0 {
		t.Error("a pod of the newest kind is taken away")
	}
	broken.Labels[labelRevision] = "old"
	well := podOf(a, corev1.ContainerStatus{State: running(99), Ready: true})
	well.Labels[labelRevision] = "old"
	if got := Stuck(a, prod, Observed{Pods: []corev1.Pod{well, broken}, Now: now}); len(got) != 1 {
		t.Errorf("%d pods are taken away", len(got))
	}
}
