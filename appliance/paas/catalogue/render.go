// Package catalogue brings services of the catalogue about: instances, and what applications log in with.
package catalogue

import (
	"cmp"
	"maps"
	"slices"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"islet/appliance/paas/tenancy"
	"islet/appliance/paas/v1alpha1"
)

// Managed is the value of the label tenancy.Managed on what belongs to an instance or a binding.
const Managed = "service"

const (
	// dataDir and configDir are where an instance keeps its data, and reads its configuration.
	dataDir   = "/data"
	configDir = "/etc/service"

	containerName = "main"
	portName      = "service"
	volumeName    = "service-data"

	// The times of probes, in seconds.
	probeEvery, probeTimeout = 5, 3

	// serviceUser runs every service: the images name it, too.
	serviceUser = 65532

	// annotationSecret says with which password pods have begun: with another they begin anew.
	annotationSecret = "islet.dev/secret" //nolint:gosec // the name of an annotation
)

// wanted is all that an instance is made from.
type wanted struct {
	instance *v1alpha1.ServiceInstance
	plan     *v1alpha1.ServicePlan
	recipe   recipe
	nodePool string
	secret   *corev1.Secret // as it is stored
}

func secretName(i *v1alpha1.ServiceInstance) string { return i.Name + "-service" }

// Host is the name under which the environment's applications reach an instance.
func Host(i *v1alpha1.ServiceInstance) string { return i.Name + "." + i.Namespace + ".svc" }

func kind(version, name string) metav1.TypeMeta {
	return metav1.TypeMeta{APIVersion: version, Kind: name}
}

func labels(i *v1alpha1.ServiceInstance) map[string]string {
	return map[string]string{tenancy.Managed: Managed, v1alpha1.LabelService: i.Name}
}

func meta(i *v1alpha1.ServiceInstance, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: i.Namespace, Name: name, Labels: labels(i)}
}

// selector finds the pods of an instance. It can never be changed.
func selector(i *v1alpha1.ServiceInstance) map[string]string {
	return map[string]string{v1alpha1.LabelService: i.Name}
}

// newSecret holds what an instance is started with.
func (w wanted) newSecret(password string) *corev1.Secret {
	s := &corev1.Secret{TypeMeta: kind("v1", "Secret"), ObjectMeta: meta(w.instance, secretName(w.instance)), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{}}
	for name, content := range w.recipe.files(w.plan, password) {
		s.Data[fileKey+name] = []byte(content)
	}
	s.Data[v1alpha1.KeyPassword] = []byte(password)
	return s
}

// fileKey is what the keys of an instance's Secret begin with that are files of its configuration.
const fileKey = "file."

// items are the files of the configuration.
func (w wanted) items() (out []corev1.KeyToPath) {
	for _, name := range slices.Sorted(maps.Keys(w.recipe.files(w.plan, ""))) {
		out = append(out, corev1.KeyToPath{Key: fileKey + name, Path: name})
	}
	return out
}

// objects are those of an instance besides its secret, in the order in which they need each other.
func (w wanted) objects() []client.Object {
	i := w.instance
	service := &corev1.Service{TypeMeta: kind("v1", "Service"), ObjectMeta: meta(i, i.Name), Spec: corev1.ServiceSpec{
		Selector: selector(i), Ports: []corev1.ServicePort{{Name: portName, Port: w.recipe.port, TargetPort: intstr.FromString(portName), Protocol: corev1.ProtocolTCP}},
	}}
	set := &appsv1.StatefulSet{TypeMeta: kind("apps/v1", "StatefulSet"), ObjectMeta: meta(i, i.Name), Spec: appsv1.StatefulSetSpec{
		Replicas: &w.plan.Replicas, Selector: &metav1.LabelSelector{MatchLabels: selector(i)}, ServiceName: i.Name, Template: w.pods(),
		PodManagementPolicy: appsv1.OrderedReadyPodManagement, RevisionHistoryLimit: new(int32(2)),
		UpdateStrategy:       appsv1.StatefulSetUpdateStrategy{Type: appsv1.RollingUpdateStatefulSetStrategyType},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{w.claim()},
	}}
	return []client.Object{service, set}
}

func (w wanted) claim() corev1.PersistentVolumeClaim {
	size := cmp.Or(w.instance.Spec.Size, &w.plan.Size)
	claim := corev1.PersistentVolumeClaim{TypeMeta: kind("v1", "PersistentVolumeClaim"), ObjectMeta: metav1.ObjectMeta{Name: volumeName, Labels: labels(w.instance)}}
	claim.Spec.AccessModes = []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}
	claim.Spec.Resources.Requests = corev1.ResourceList{corev1.ResourceStorage: *size}
	if w.plan.StorageClass != "" {
		claim.Spec.StorageClassName = &w.plan.StorageClass
	}
	return claim
}

// pods may do nothing that the level "restricted" of the Pod Security Standards forbids.
func (w wanted) pods() corev1.PodTemplateSpec {
	c := w.container()
	c.ImagePullPolicy, c.TerminationMessagePolicy = corev1.PullIfNotPresent, corev1.TerminationMessageFallbackToLogsOnError
	c.SecurityContext = &corev1.SecurityContext{AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}
	c.Resources = corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: w.plan.CPU, corev1.ResourceMemory: w.plan.Memory},
		Limits:   corev1.ResourceList{corev1.ResourceMemory: w.plan.Memory},
	}
	c.VolumeMounts = []corev1.VolumeMount{{Name: volumeName, MountPath: dataDir}, {Name: "config", MountPath: configDir, ReadOnly: true}}
	spec := corev1.PodSpec{
		AutomountServiceAccountToken: new(false), EnableServiceLinks: new(false), Containers: []corev1.Container{c},
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot: new(true), RunAsUser: new(int64(serviceUser)), RunAsGroup: new(int64(serviceUser)), FSGroup: new(int64(serviceUser)),
			FSGroupChangePolicy: new(corev1.FSGroupChangeOnRootMismatch), // PostgreSQL wants its directory to be its own alone
			SeccompProfile:      &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: []corev1.Volume{{Name: "config", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{
			SecretName: secretName(w.instance), Items: w.items(),
		}}}},
	}
	if w.nodePool != "" {
		spec.NodeSelector = map[string]string{v1alpha1.LabelPool: w.nodePool}
	}
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(w.instance), Annotations: map[string]string{annotationSecret: string(w.secret.UID)}}, Spec: spec}
}

// bound is the Secret of a binding.
func bound(b *v1alpha1.ServiceBinding, i *v1alpha1.ServiceInstance, r recipe, password string) *corev1.Secret {
	own := map[string]string{tenancy.Managed: Managed, v1alpha1.LabelService: i.Name, v1alpha1.LabelBinding: b.Name}
	s := &corev1.Secret{TypeMeta: kind("v1", "Secret"), ObjectMeta: metav1.ObjectMeta{Namespace: b.Namespace, Name: b.Name, Labels: own}, Type: corev1.SecretTypeOpaque, Data: map[string][]byte{
		v1alpha1.KeyHost: []byte(Host(i)), v1alpha1.KeyPort: []byte(strconv.Itoa(int(r.port))), v1alpha1.KeyUser: []byte(r.user),
		v1alpha1.KeyPassword: []byte(password), v1alpha1.KeyURI: []byte(r.uri(Host(i), password)),
	}}
	if r.database != "" {
		s.Data[v1alpha1.KeyDatabase] = []byte(r.database)
	}
	return s
}
