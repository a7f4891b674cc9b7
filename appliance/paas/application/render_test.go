package application

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"islet/appliance/paas/v1alpha1"
)

var update = flag.Bool("update", false, "write the goldens")

const digest = "@sha256:0000000000000000000000000000000000000000000000000000000000000000"

// read makes an application from what an operator would write.
func read(t *testing.T, text string) *v1alpha1.Application {
	t.Helper()
	a := &v1alpha1.Application{}
	if err := yaml.UnmarshalStrict([]byte(text), &a.Spec); err != nil {
		t.Fatal(err)
	}
	a.Name, a.Namespace = "shop", "press-prod"
	return a
}

var prod = Place{Namespace: "press-prod", Domain: "prod.press.apps.test", MinReplicas: 2, NodePool: "presses"}

const (
	web = `
components:
- name: web
  image: registry/web` + digest + `
  runAsUser: 1000
  readOnlyRoot: true
  ports: [{name: http, port: 8080, service: 80}]
  readiness: {http: /ready, everySeconds: 1}
  liveness: {http: /live}
  env: [{name: COLOUR, value: green}]
  volumes:
  - {name: tmp, mountPath: /tmp, empty: {size: 1Mi}}
  - {name: conf, mountPath: /etc/web, config: web}
expose:
- http: {}
- http: {path: /api}
`
	store = `
components:
- name: shop
  image: registry/store` + digest + `
  kind: Stateful
  replicas: 3
  ports: [{name: tcp, port: 5432}]
  readiness: {}
  volumes:
  - {name: data, mountPath: /data, claim: {size: 1Gi}}
expose:
- nodePort: {port: 30001}
`
	worker = `
components:
- name: worker
  image: registry/worker` + digest + `
  replicas: 1
  volumes:
  - {name: spool, mountPath: /spool, claim: {size: 1Gi, storageClass: local}}
`
)

// What an application becomes is kept in testdata, one file each; -update writes them.
func TestRender(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"web": web, "store": store, "worker": worker} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := read(t, text)
			if err := Check(a, true); err != nil {
				t.Fatal(err)
			}
			var got bytes.Buffer
			for _, o := range Render(a, prod) {
				raw, err := yaml.Marshal(o)
				if err != nil {
					t.Fatal(err)
				}
				got.WriteString("---\n")
				got.Write(raw)
			}
			file := filepath.Join("testdata", name+".yaml")
			if *update {
				if err := os.WriteFile(file, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, got.Bytes()) {
				t.Errorf("%s is not what is rendered (%v); run with -update and review the difference\n%s", file, err, got.String())
			}
		})
	}
}

// Pods never ask for more than the strictest level allows, whatever the application says.
func TestPodsAreRestricted(t *testing.T) {
	t.Parallel()
	for _, text := range []string{web, store, worker} {
		a := read(t, text)
		spec := pods(a, &a.Spec.Components[0], prod).Spec
		c := spec.Containers[0].SecurityContext
		if !*spec.SecurityContext.RunAsNonRoot || *c.AllowPrivilegeEscalation || !slices.Contains(c.Capabilities.Drop, "ALL") || *spec.AutomountServiceAccountToken {
			t.Errorf("%s: %+v, %+v", a.Spec.Components[0].Name, spec.SecurityContext, c)
		}
	}
}

func TestStoppedApplication(t *testing.T) {
	t.Parallel()
	a := read(t, web)
	a.Spec.Stopped = true
	kinds := map[string]bool{}
	for _, o := range Render(a, prod) {
		kinds[o.GetObjectKind().GroupVersionKind().Kind] = true
		if d, ok := o.(*appsv1.Deployment); ok && *d.Spec.Replicas != 0 {
			t.Errorf("%d replicas", *d.Spec.Replicas)
		}
	}
	if !kinds["Deployment"] || !kinds["HTTPRoute"] || kinds["PodDisruptionBudget"] {
		t.Errorf("has %v", kinds)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change  func(a *v1alpha1.Application)
		want    string
		gateway bool
	}{
		"no such component": {func(a *v1alpha1.Application) { a.Spec.Expose[0].Component = "api" }, "expose: there is no component api", true},
		"no gateway":        {func(*v1alpha1.Application) {}, "expose: this site has no gateway: use nodePort, or switch gateway.enabled on in the answer file", false},
		"no such port":      {func(a *v1alpha1.Application) { a.Spec.Expose[0].Port = "grpc" }, "expose: component web has no port grpc", true},
		"no port": {func(a *v1alpha1.Application) {
			a.Spec.Components[0].Ports, a.Spec.Components[0].Liveness, a.Spec.Components[0].Readiness = nil, nil, nil
		}, "expose: component web has no port", true},
		"probe of no port": {func(a *v1alpha1.Application) { a.Spec.Components[0].Liveness.Port = "x" }, "component web: the liveness probe asks a port that the component does not have", true},
	} {
		a := read(t, web)
		c.change(a)
		if err := Check(a, c.gateway); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Pods of the same kind have the same revision, and others another.
func TestRevision(t *testing.T) {
	t.Parallel()
	a := read(t, web)
	of := func() string { return pods(a, &a.Spec.Components[0], prod).Labels[labelRevision] }
	first := of()
	if first == "" || of() != first {
		t.Errorf("%q, then %q", first, of())
	}
	a.Spec.Components[0].Replicas = new(int32(7))
	if of() != first {
		t.Error("replicas make another kind of pod")
	}
	a.Spec.Components[0].Image = "registry/web@sha256:1111111111111111111111111111111111111111111111111111111111111111"
	if of() == first {
		t.Error("another image makes the same kind of pod")
	}
}
