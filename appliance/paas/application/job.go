package application

import (
	"cmp"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// BesideEnding is what the names of the services of a release end in that runs beside an application.
const BesideEnding = besideEnding

// labelHook is the label of pods that run a hook, which belong to no component.
const labelHook = "islet.dev/hook"

// What holds for a hook that says nothing else, and how long what is left of one stays.
const (
	defaultRetries     = 3
	defaultHookTimeout = 5 * time.Minute
	hookKept           = 24 * time.Hour
)

// Job runs a hook of a release, under the same rules as the application's own pods.
func Job(name string, r *v1alpha1.Release, h *v1alpha1.Hook, serviceEnding string, p Place) *batchv1.Job {
	retries := h.Retries
	if retries == nil {
		retries = new(int32(defaultRetries))
	}
	c := v1alpha1.Component{Name: h.Name, Image: cmp.Or(h.Image, r.Spec.Template.Components[0].Image), Command: h.Command, Args: h.Args, RunAsUser: h.RunAsUser,
		Env: append([]corev1.EnvVar{{Name: "SERVICE_ENDING", Value: serviceEnding}}, h.Env...)}
	pod := pods(&v1alpha1.Application{ObjectMeta: metav1.ObjectMeta{Name: r.Spec.Application, Namespace: p.Namespace}}, &c, p)
	own := map[string]string{tenancy.Managed: Managed, labelHook: h.Name}
	pod.Labels, pod.Spec.Affinity, pod.Spec.RestartPolicy = own, nil, corev1.RestartPolicyNever
	if *retries > 0 { // in the same pod: the rules of the network know a new one only a moment after it has begun
		pod.Spec.RestartPolicy = corev1.RestartPolicyOnFailure
	}
	timeout := cmp.Or(int64(h.TimeoutSeconds), int64(defaultHookTimeout/time.Second))
	return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: p.Namespace, Name: name, Labels: own}, Spec: batchv1.JobSpec{
		BackoffLimit: retries, ActiveDeadlineSeconds: &timeout, TTLSecondsAfterFinished: new(int32(hookKept / time.Second)), Template: pod,
	}}
}
