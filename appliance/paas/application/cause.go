package application

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/paas/v1alpha1"
)

// The reasons of a state, in a word for programs.
const (
	ReasonRollingOut    = "RollingOut"
	ReasonPaused        = "Paused"
	ReasonStopping      = "Stopping"
	ReasonStopped       = "Stopped"
	ReasonNoEnvironment = "NoEnvironment"
	ReasonInvalid       = "Invalid"
	ReasonFailed        = "Failed"
	ReasonNeed          = "NeedMissing"
	ReasonQuota         = "Quota"
	ReasonRefused       = "Refused"
	ReasonImage         = "ImageMissing"
	ReasonConfig        = "NotConfigured"
	ReasonVolume        = "VolumeMissing"
	ReasonCrash         = "CrashLoop"
	ReasonUnschedulable = "Unschedulable"
	ReasonProbe         = "ProbeFailing"
)

// gravity orders causes: what keeps more from running, and what explains others, comes first.
var gravity = []string{ReasonNeed, ReasonQuota, ReasonRefused, ReasonImage, ReasonConfig, ReasonCrash, ReasonVolume, ReasonUnschedulable, ReasonProbe}

// Cause is why an application is not as it should be.
type Cause struct{ Reason, Message string }

func (c Cause) none() bool { return c.Reason == "" }

// worst of several causes; those of the same gravity keep their order.
func worst(causes []Cause) Cause {
	causes = slices.DeleteFunc(causes, Cause.none)
	if len(causes) == 0 {
		return Cause{}
	}
	return slices.MinFunc(causes, func(a, b Cause) int {
		return cmp.Compare(slices.Index(gravity, a.Reason), slices.Index(gravity, b.Reason))
	})
}

// scheduleGrace is how long a pod may be without a node before that is a cause: volumes are made in this time.
const scheduleGrace = 5 * time.Second

// OfPod finds what keeps a pod from being ready; none for one that is, that ends, or that has only just begun.
func OfPod(c *v1alpha1.Component, pod *corev1.Pod, events []corev1.Event, now time.Time) Cause {
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Phase == corev1.PodSucceeded {
		return Cause{}
	}
	if told := volumeRefused(pod, events, now); told != "" {
		return Cause{ReasonVolume, c.Name + ": it has no volume: " + told}
	}
	for _, condition := range pod.Status.Conditions {
		if condition.Type == corev1.PodScheduled && condition.Reason == corev1.PodReasonUnschedulable && now.Sub(condition.LastTransitionTime.Time) > scheduleGrace {
			return Cause{ReasonUnschedulable, c.Name + ": no node can take it: " + clip(condition.Message)}
		}
	}
	for i := range pod.Status.ContainerStatuses {
		if s := &pod.Status.ContainerStatuses[i]; s.Name == containerName && !s.Ready {
			return ofContainer(c, s, unhealthy(pod, events), now)
		}
	}
	return Cause{}
}

// volumeRefused is the newest word on a volume that a pod without a node waits for.
func volumeRefused(pod *corev1.Pod, events []corev1.Event, now time.Time) string {
	var newest *corev1.Event
	for _, v := range pod.Spec.Volumes {
		for i := range events {
			e := &events[i]
			if v.PersistentVolumeClaim != nil && pod.Spec.NodeName == "" && e.InvolvedObject.Kind == "PersistentVolumeClaim" && e.InvolvedObject.Name == v.PersistentVolumeClaim.ClaimName &&
				e.Type == corev1.EventTypeWarning && now.Sub(e.LastTimestamp.Time) < eventAge && (newest == nil || e.LastTimestamp.After(newest.LastTimestamp.Time)) {
				newest = e
			}
		}
	}
	if newest == nil {
		return ""
	}
	return clip(newest.Message)
}

// ofContainer finds what keeps a container from being ready. told is what a probe has last said.
func ofContainer(c *v1alpha1.Component, s *corev1.ContainerStatus, told string, now time.Time) Cause {
	if w := s.State.Waiting; w != nil {
		switch w.Reason {
		case "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError", "RegistryUnavailable":
			return Cause{ReasonImage, fmt.Sprintf("%s: the image %s cannot be had: %s", c.Name, c.Image, clip(w.Message))}
		case "CreateContainerConfigError", "CreateContainerError", "RunContainerError":
			return Cause{ReasonConfig, c.Name + ": the container cannot be made: " + clip(w.Message)}
		case "CrashLoopBackOff":
			return crash(c, s, told)
		}
	}
	if s.RestartCount >= 2 && s.LastTerminationState.Terminated != nil {
		return crash(c, s, told)
	}
	if r := s.State.Running; r != nil && now.Sub(r.StartedAt.Time) > time.Duration(c.Start())*time.Second {
		return Cause{ReasonProbe, fmt.Sprintf("%s: it runs and is not ready after %d s: %s", c.Name, c.Start(), cmp.Or(told, "its probe does not succeed"))}
	}
	return Cause{}
}

// crash is the cause of a container that ends again and again: a failing liveness probe, or itself.
func crash(c *v1alpha1.Component, s *corev1.ContainerStatus, told string) Cause {
	t := cmp.Or(s.LastTerminationState.Terminated, s.State.Terminated)
	switch {
	case t == nil:
		return Cause{ReasonCrash, c.Name + ": it ends again and again"}
	case asked(t.ExitCode) && (strings.HasPrefix(told, "Liveness") || strings.HasPrefix(told, "Startup")):
		return Cause{ReasonProbe, fmt.Sprintf("%s: it was started anew %d times: %s", c.Name, s.RestartCount, told)}
	case t.Reason == "OOMKilled":
		return Cause{ReasonCrash, c.Name + ": it was ended for using more memory than its limit"}
	}
	message := fmt.Sprintf("%s: it ends again and again, last with exit code %d", c.Name, t.ExitCode)
	if line := lastLine(t.Message); line != "" {
		message += ": " + line
	}
	return Cause{ReasonCrash, message}
}

// asked says whether a container that ended so may have been told to: one that ends by itself fails its probe, too, while it is down.
func asked(exitCode int32) bool {
	const killed, terminated = 128 + 9, 128 + 15
	return exitCode == 0 || exitCode == killed || exitCode == terminated
}

// unhealthy is the newest word of a pod's probes.
func unhealthy(pod *corev1.Pod, events []corev1.Event) string {
	var newest *corev1.Event
	for i := range events {
		e := &events[i]
		if e.Reason == "Unhealthy" && e.InvolvedObject.Name == pod.Name && (newest == nil || e.LastTimestamp.After(newest.LastTimestamp.Time)) {
			newest = e
		}
	}
	if newest == nil {
		return ""
	}
	return clip(newest.Message)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return clip(lines[len(lines)-1])
}

// maxText is how much of another program's words is repeated.
const maxText = 300

func clip(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "..."
	}
	return text
}

// OfCreation is the cause when pods are not even made; message is what the API said.
func OfCreation(component, message string) Cause {
	if strings.Contains(message, "exceeded quota") {
		return Cause{ReasonQuota, component + ": the environment's quota is used up: " + clip(message)}
	}
	return Cause{ReasonRefused, component + ": its pods are refused: " + clip(message)}
}
