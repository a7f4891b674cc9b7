package application

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"islet/appliance/paas/v1alpha1"
)

// restartedAt is the annotation of pods that were asked for anew.
const restartedAt = "islet.dev/restarted-at"

// leaveSeconds is how long a pod that ends still answers: as long as gateways and other pods take to learn of it.
const leaveSeconds = 3

// containerName is that of the one container of a pod.
const containerName = "main"

// pods are what a component's pods are made from. They may do nothing that the level "restricted" of the Pod Security Standards
// forbids, in all classes of environments alike: what ran in dev runs in prod.
func pods(a *v1alpha1.Application, c *v1alpha1.Component, p Place) corev1.PodTemplateSpec {
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: new(false),
		EnableServiceLinks:           new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Containers: []corev1.Container{container(c)},
		Affinity:   apart(a, c),
	}
	if c.RunAsUser > 0 {
		spec.SecurityContext.RunAsUser, spec.SecurityContext.FSGroup = &c.RunAsUser, &c.RunAsUser
	}
	if p.NodePool != "" {
		spec.NodeSelector = map[string]string{v1alpha1.LabelPool: p.NodePool}
	}
	for _, v := range c.Volumes {
		if source := volumeSource(a, c, v); source != nil {
			spec.Volumes = append(spec.Volumes, corev1.Volume{Name: v.Name, VolumeSource: *source})
		}
	}
	out := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(a, c.Name)}, Spec: spec}
	if a.Spec.RestartedAt != nil {
		out.Annotations = map[string]string{restartedAt: a.Spec.RestartedAt.UTC().Format(time.RFC3339)}
	}
	maps.Copy(out.Labels, selector(a, c))
	out.Labels[labelRevision] = revision(out)
	return out
}

// labelRevision tells pods of different kinds of a component apart.
const labelRevision = "islet.dev/revision"

func revision(t corev1.PodTemplateSpec) string {
	raw, err := json.Marshal(t)
	if err != nil {
		panic(err) // the types have their own way to JSON
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:5])
}

// apart asks for different nodes, without insisting: a site may have one only.
func apart(a *v1alpha1.Application, c *v1alpha1.Component) *corev1.Affinity {
	return &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{
		Weight: 100, PodAffinityTerm: corev1.PodAffinityTerm{TopologyKey: corev1.LabelHostname, LabelSelector: &metav1.LabelSelector{MatchLabels: selector(a, c)}},
	}}}}
}

func container(c *v1alpha1.Component) corev1.Container {
	out := corev1.Container{
		Name: containerName, Image: c.Image, ImagePullPolicy: corev1.PullIfNotPresent, Command: c.Command, Args: c.Args, Env: c.Env, Resources: c.Resources,
		// what a container has last said is in its pod's status, and so in the application's
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		ReadinessProbe:           probe(c, c.Readiness), LivenessProbe: probe(c, c.Liveness),
		SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}, ReadOnlyRootFilesystem: &c.ReadOnlyRoot,
		},
	}
	for _, port := range c.Ports {
		out.Ports = append(out.Ports, corev1.ContainerPort{Name: port.Name, ContainerPort: port.Port, Protocol: cmp.Or(port.Protocol, corev1.ProtocolTCP)})
	}
	if len(c.Ports) > 0 {
		out.Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: leaveSeconds}}}
	}
	if c.Liveness != nil { // while it starts it is not killed for being slow
		out.StartupProbe = probe(c, c.Liveness)
		out.StartupProbe.PeriodSeconds, out.StartupProbe.FailureThreshold = startEvery, (c.Start()+startEvery-1)/startEvery
	}
	for _, v := range c.Volumes {
		out.VolumeMounts = append(out.VolumeMounts, corev1.VolumeMount{Name: v.Name, MountPath: v.MountPath, ReadOnly: v.ReadOnly || v.Config != "" || v.Secret != ""})
	}
	return out
}

// startEvery is how often a container that starts is asked, in seconds.
const startEvery = 2

// The probes' times, where nothing is said.
const (
	probeEvery    = 5
	probeFailures = 3
	probeTimeout  = 3
)

func probe(c *v1alpha1.Component, p *v1alpha1.Probe) *corev1.Probe {
	if p == nil {
		return nil
	}
	out := &corev1.Probe{PeriodSeconds: cmp.Or(p.EverySeconds, probeEvery), InitialDelaySeconds: p.AfterSeconds, FailureThreshold: cmp.Or(p.Failures, probeFailures), TimeoutSeconds: probeTimeout}
	port := intstr.FromString(portName(c, p.Port))
	switch {
	case len(p.Command) > 0:
		out.Exec = &corev1.ExecAction{Command: p.Command}
	case p.HTTP != "":
		out.HTTPGet = &corev1.HTTPGetAction{Path: p.HTTP, Port: port}
	default:
		out.TCPSocket = &corev1.TCPSocketAction{Port: port}
	}
	return out
}

// portName is that of a port, where none is said that of the first.
func portName(c *v1alpha1.Component, name string) string {
	if name == "" && len(c.Ports) > 0 {
		return c.Ports[0].Name
	}
	return name
}

// volumeSource of a volume; nil for one that each pod has of its own.
func volumeSource(a *v1alpha1.Application, c *v1alpha1.Component, v v1alpha1.Volume) *corev1.VolumeSource {
	switch {
	case v.Claim != nil && c.Stateful():
		return nil
	case v.Claim != nil:
		return &corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claimName(a, c, v.Name)}}
	case v.Config != "":
		return &corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: v.Config}}}
	case v.Secret != "":
		return &corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: v.Secret}}
	}
	empty := &corev1.EmptyDirVolumeSource{}
	if v.Empty != nil {
		empty.SizeLimit = v.Empty.Size
		if v.Empty.Memory {
			empty.Medium = corev1.StorageMediumMemory
		}
	}
	return &corev1.VolumeSource{EmptyDir: empty}
}
