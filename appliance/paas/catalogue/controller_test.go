package catalogue

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"islet/appliance/paas/v1alpha1"
)

const digest = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// key is that of the instance of the tests, and of its workload.
var key = client.ObjectKey{Namespace: "press-dev", Name: "cache"}

// api is an API with a class, an environment, and more.
func api(t *testing.T, class v1alpha1.Class, more ...client.Object) client.Client {
	t.Helper()
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{appsv1.AddToScheme, corev1.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			t.Fatal(err)
		}
	}
	e := &v1alpha1.Environment{}
	e.Name, e.Spec.Tenant, e.Spec.Name, e.Spec.Class, e.Spec.NodePool = "press-dev", "press", "dev", class, "presses"
	redis := &v1alpha1.ServiceClass{}
	redis.Name, redis.Spec = "redis", v1alpha1.ServiceClassSpec{Title: "Redis", Engine: v1alpha1.EngineRedis, Version: "7.0", Plans: []v1alpha1.ServicePlan{{
		Name: "small", Image: "redis" + digest, Replicas: 1, Memory: resource.MustParse("100Mi"), CPU: resource.MustParse("50m"), Size: resource.MustParse("1Gi"),
	}}}
	postgres := redis.DeepCopy()
	postgres.Name, postgres.Spec.Engine = "postgresql", v1alpha1.EnginePostgreSQL
	return fake.NewClientBuilder().WithScheme(s).WithObjects(append(more, e, redis, postgres)...).WithStatusSubresource(&v1alpha1.ServiceInstance{}, &v1alpha1.ServiceBinding{}).Build()
}

func instance() *v1alpha1.ServiceInstance {
	i := &v1alpha1.ServiceInstance{}
	i.Namespace, i.Name, i.UID, i.Spec.Class, i.Spec.Plan = key.Namespace, key.Name, "i", "redis", "small"
	return i
}

func binding(name string) *v1alpha1.ServiceBinding {
	b := &v1alpha1.ServiceBinding{}
	b.Namespace, b.Name, b.UID, b.Spec.Instance = key.Namespace, name, "b", key.Name
	return b
}

func get[T client.Object](t *testing.T, c client.Client, name string, into T) T {
	t.Helper()
	if err := c.Get(t.Context(), client.ObjectKey{Namespace: key.Namespace, Name: name}, into); err != nil {
		t.Fatal(err)
	}
	return into
}

// reconciled is the status of the instance after its controller has looked at it.
func reconciled(t *testing.T, c client.Client) v1alpha1.ServiceInstanceStatus {
	t.Helper()
	r := &Instances{Client: c, Live: c}
	_, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: key})
	s := get(t, c, key.Name, &v1alpha1.ServiceInstance{}).Status
	if err != nil && s.State != v1alpha1.StateDegraded {
		t.Fatal(err)
	}
	return s
}

func bindingStatus(t *testing.T, c client.Client, name string) v1alpha1.ServiceBindingStatus {
	t.Helper()
	r := &Bindings{Client: c, Live: c}
	_, err := r.Reconcile(t.Context(), reconcile.Request{NamespacedName: client.ObjectKey{Namespace: key.Namespace, Name: name}})
	s := get(t, c, name, &v1alpha1.ServiceBinding{}).Status
	if err != nil && s.State != v1alpha1.StateDegraded {
		t.Fatal(err)
	}
	return s
}

func TestInstanceIsMade(t *testing.T) {
	t.Parallel()
	c := api(t, v1alpha1.ClassDev, instance())
	if s := reconciled(t, c); s.State != v1alpha1.StateProgressing || s.Host != "cache.press-dev.svc" || s.Port != 6379 || s.Version != "7.0" {
		t.Errorf("%+v", s)
	}
	secret := get(t, c, "cache-service", &corev1.Secret{})
	password := string(secret.Data["password"])
	if config := string(secret.Data["file.redis.conf"]); len(password) < 20 || !strings.Contains(config, "requirepass "+password+"\n") || !strings.Contains(config, "maxmemory 62914560\n") || !strings.Contains(config, "appendfsync always\n") {
		t.Errorf("password %q, configuration:\n%s", password, config)
	}
	set := get(t, c, "cache", &appsv1.StatefulSet{})
	if set.Spec.Template.Spec.NodeSelector[v1alpha1.LabelPool] != "presses" || set.Spec.VolumeClaimTemplates[0].Spec.Resources.Requests.Storage().String() != "1Gi" {
		t.Errorf("%+v", set.Spec)
	}
	for _, o := range []client.Object{secret, set, get(t, c, "cache", &corev1.Service{})} {
		if owner := metav1.GetControllerOf(o); owner == nil || owner.UID != "i" {
			t.Errorf("%T goes with %v", o, owner)
		}
	}
	reconciled(t, c)
	if again := get(t, c, "cache-service", &corev1.Secret{}); string(again.Data["password"]) != password {
		t.Error("the password changed")
	}
}

// What a pod may do is what the level "restricted" allows.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	c := api(t, v1alpha1.ClassDev, instance())
	reconciled(t, c)
	spec := get(t, c, "cache", &appsv1.StatefulSet{}).Spec.Template.Spec
	own := spec.Containers[0].SecurityContext
	if !*spec.SecurityContext.RunAsNonRoot || *spec.SecurityContext.RunAsUser == 0 || spec.SecurityContext.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault ||
		*own.AllowPrivilegeEscalation || !*own.ReadOnlyRootFilesystem || !slices.Equal(own.Capabilities.Drop, []corev1.Capability{"ALL"}) || *spec.AutomountServiceAccountToken {
		t.Errorf("%+v", spec)
	}
}

func TestWhatCannotBeMade(t *testing.T) {
	t.Parallel()
	theirs := &corev1.Service{}
	theirs.Namespace, theirs.Name = key.Namespace, key.Name
	for name, c := range map[string]struct {
		class  v1alpha1.Class
		change func(*v1alpha1.ServiceInstance)
		more   []client.Object
		reason string
		want   string
	}{
		"no such service": {v1alpha1.ClassDev, func(i *v1alpha1.ServiceInstance) { i.Spec.Class = "mongo" }, nil, "NoClass", "no service mongo"},
		"no such plan":    {v1alpha1.ClassDev, func(i *v1alpha1.ServiceInstance) { i.Spec.Plan = "huge" }, nil, "NoPlan", "no plan huge, but small"},
		"too few in prod": {v1alpha1.ClassProd, func(*v1alpha1.ServiceInstance) {}, nil, "Refused", "at least 2 replicas, and plan small of redis has 1"},
		"somebody else's": {v1alpha1.ClassDev, func(*v1alpha1.ServiceInstance) {}, []client.Object{theirs}, "Failed", "Service/cache: there is one that is not this service's"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := instance()
			c.change(i)
			s := reconciled(t, api(t, c.class, append(slices.Clone(c.more), i)...))
			if s.State != v1alpha1.StateDegraded || s.Reason != c.reason || !strings.Contains(s.Message, c.want) {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestStateOfAnInstance(t *testing.T) {
	t.Parallel()
	one := int32(1)
	well := appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{UID: "s", Generation: 2}, Spec: appsv1.StatefulSetSpec{Replicas: &one},
		Status: appsv1.StatefulSetStatus{ObservedGeneration: 2, ReadyReplicas: 1, UpdatedReplicas: 1, CurrentRevision: "a", UpdateRevision: "a"}}
	old, none := well, well
	old.Status.ObservedGeneration, none.Status.ReadyReplicas = 1, 0
	crash := corev1.Pod{Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{Name: containerName, RestartCount: 3, State: corev1.ContainerState{
		Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}, LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 1, Message: "Bad file format"}}}}}}
	now := time.Now()
	refusal := corev1.Event{InvolvedObject: corev1.ObjectReference{Kind: "StatefulSet", Name: "cache"}, Reason: "FailedCreate", Message: "exceeded quota: islet", LastTimestamp: metav1.NewTime(now)}
	for name, c := range map[string]struct {
		seen observed
		want word
	}{
		"well":       {observed{set: well}, word{State: v1alpha1.StateReady}},
		"not seen":   {observed{set: old}, word{v1alpha1.StateProgressing, "RollingOut", "1 of 1 answer"}},
		"begins":     {observed{set: none}, word{v1alpha1.StateProgressing, "RollingOut", "0 of 1 answer"}},
		"crashes":    {observed{set: none, pods: []corev1.Pod{crash}}, word{v1alpha1.StateDegraded, "CrashLoop", "cache: it ends again and again, last with exit code 1: Bad file format"}},
		"over quota": {observed{set: none, events: []corev1.Event{refusal}, now: now}, word{v1alpha1.StateDegraded, "Quota", "cache: the environment's quota is used up: exceeded quota: islet"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := judge(wanted{instance: instance(), plan: &v1alpha1.ServicePlan{Replicas: 1}}, c.seen); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestBinding(t *testing.T) {
	t.Parallel()
	i := instance()
	c := api(t, v1alpha1.ClassDev, i, binding("shop-cache"))
	if s := bindingStatus(t, c, "shop-cache"); s.State != v1alpha1.StateProgressing || s.Secret != "" {
		t.Errorf("before the instance: %+v", s)
	}
	reconciled(t, c)
	if s := bindingStatus(t, c, "shop-cache"); s.State != v1alpha1.StateReady || s.Secret != "shop-cache" {
		t.Fatalf("%+v", s)
	}
	secret := get(t, c, "shop-cache", &corev1.Secret{})
	password := string(get(t, c, "cache-service", &corev1.Secret{}).Data["password"])
	if keys := slices.Sorted(maps.Keys(secret.Data)); !slices.Equal(keys, []string{"host", "password", "port", "uri", "user"}) {
		t.Errorf("keys %v", keys)
	}
	if uri := string(secret.Data["uri"]); uri != "redis://default:"+password+"@cache.press-dev.svc:6379/0" {
		t.Errorf("uri %s", uri)
	}
	if err := c.Delete(t.Context(), get(t, c, key.Name, i)); err != nil {
		t.Fatal(err)
	}
	if s := bindingStatus(t, c, "shop-cache"); s.Reason != "NoInstance" || s.Secret != "" {
		t.Errorf("without its instance: %+v", s)
	}
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(secret), secret); client.IgnoreNotFound(err) != nil || err == nil {
		t.Errorf("a password stays: %v", err)
	}
}

// An application is not changed when its service is: the keys are the same.
func TestKeysAreTheSameWhateverTheService(t *testing.T) {
	t.Parallel()
	i := instance()
	i.Spec.Class = "postgresql"
	c := api(t, v1alpha1.ClassDev, i, binding("shop"))
	if s := reconciled(t, c); s.Port != 5432 {
		t.Errorf("%+v", s)
	}
	bindingStatus(t, c, "shop")
	data := get(t, c, "shop", &corev1.Secret{}).Data
	password := string(data["password"])
	want := map[string]string{"host": "cache.press-dev.svc", "port": "5432", "user": "app", "database": "app", "password": password, "uri": "postgresql://app:" + password + "@cache.press-dev.svc:5432/app"}
	for key, value := range want {
		if string(data[key]) != value {
			t.Errorf("%s is %q, want %q", key, data[key], value)
		}
	}
	if len(data) != len(want) || password == "" {
		t.Errorf("%d keys, password %q", len(data), password)
	}
	items := get(t, c, "cache", &appsv1.StatefulSet{}).Spec.Template.Spec.Volumes[0].Secret.Items
	if len(items) != 3 || items[2] != (corev1.KeyToPath{Key: "file.postgresql.conf", Path: "postgresql.conf"}) {
		t.Errorf("%+v", items)
	}
	if file := get(t, c, "cache-service", &corev1.Secret{}).Data["file.postgresql.conf"]; !strings.Contains(string(file), "shared_buffers = 25600kB\n") {
		t.Errorf("%s", file)
	}
}

// A Secret that somebody else has made is neither overwritten nor taken away.
func TestBindingTakesNothingOver(t *testing.T) {
	t.Parallel()
	theirs := &corev1.Secret{Data: map[string][]byte{"a": []byte("b")}}
	theirs.Namespace, theirs.Name = key.Namespace, "mine"
	i := instance()
	c := api(t, v1alpha1.ClassDev, i, binding("mine"), theirs)
	reconciled(t, c)
	if s := bindingStatus(t, c, "mine"); s.State != v1alpha1.StateDegraded || !strings.Contains(s.Message, "Secret/mine: there is one") {
		t.Errorf("%+v", s)
	}
	if err := c.Delete(t.Context(), get(t, c, key.Name, i)); err != nil {
		t.Fatal(err)
	}
	bindingStatus(t, c, "mine")
	if s := get(t, c, "mine", &corev1.Secret{}); string(s.Data["a"]) != "b" || len(s.Data) != 1 {
		t.Errorf("%v", s.Data)
	}
}
