package cli

import (
	"context"
	"encoding/json"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"islet/appliance/imagefile"
)

// usage is what the cluster names.
type usage struct {
	name   map[string]bool // full names with tags
	digest map[string]bool
}

// usedImages asks for every pod, and every template that pods may be made from again: old replica sets are what a
// deployment is rolled back to.
func (c cluster) usedImages(ctx context.Context) (usage, error) {
	u := usage{map[string]bool{}, map[string]bool{}}
	var (
		pods         corev1.PodList
		deployments  appsv1.DeploymentList
		replicaSets  appsv1.ReplicaSetList
		statefulSets appsv1.StatefulSetList
		daemonSets   appsv1.DaemonSetList
		jobs         batchv1.JobList
		cronJobs     batchv1.CronJobList
		revisions    appsv1.ControllerRevisionList
	)
	for _, err := range []error{
		c.client.List(ctx, &pods), c.client.List(ctx, &deployments), c.client.List(ctx, &replicaSets), c.client.List(ctx, &statefulSets),
		c.client.List(ctx, &daemonSets), c.client.List(ctx, &jobs), c.client.List(ctx, &cronJobs), c.client.List(ctx, &revisions),
	} {
		if err != nil {
			return u, err
		}
	}
	for _, pod := range pods.Items {
		u.addPod(pod)
	}
	for _, x := range deployments.Items {
		u.addSpec(x.Spec.Template.Spec)
	}
	for _, x := range replicaSets.Items {
		u.addSpec(x.Spec.Template.Spec)
	}
	for _, x := range statefulSets.Items {
		u.addSpec(x.Spec.Template.Spec)
	}
	for _, x := range daemonSets.Items {
		u.addSpec(x.Spec.Template.Spec)
	}
	for _, x := range jobs.Items {
		u.addSpec(x.Spec.Template.Spec)
	}
	for _, x := range cronJobs.Items {
		u.addSpec(x.Spec.JobTemplate.Spec.Template.Spec)
	}
	for _, x := range revisions.Items {
		u.addRevision(x)
	}
	return u, nil
}

// addPod adds what a pod names and what it runs, which may be an older image under a tag that was moved.
func (u usage) addPod(pod corev1.Pod) {
	u.addSpec(pod.Spec)
	for _, s := range append(append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...), pod.Status.EphemeralContainerStatuses...) {
		u.add(s.ImageID)
	}
	for _, c := range pod.Spec.EphemeralContainers {
		u.add(c.Image)
	}
}

func (u usage) addSpec(spec corev1.PodSpec) {
	for _, c := range append(append([]corev1.Container{}, spec.InitContainers...), spec.Containers...) {
		u.add(c.Image)
	}
	for _, v := range spec.Volumes {
		if v.Image != nil {
			u.add(v.Image.Reference)
		}
	}
}

// add takes a name with a tag or a digest as pods have it.
func (u usage) add(image string) {
	if _, digest, pinned := strings.Cut(image, "@"); pinned {
		u.digest[digest] = true
		return
	}
	if repository, tag, err := imagefile.Split(image); err == nil {
		u.name[repository+":"+tag] = true
	}
}

// addRevision adds what a stateful set or a daemon set can be rolled back to.
func (u usage) addRevision(r appsv1.ControllerRevision) {
	var old struct {
		Spec struct {
			Template corev1.PodTemplateSpec `json:"template"`
		} `json:"spec"`
	}
	if json.Unmarshal(r.Data.Raw, &old) == nil {
		u.addSpec(old.Spec.Template.Spec)
	}
}
