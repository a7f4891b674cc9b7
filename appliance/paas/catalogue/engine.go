package catalogue

import (
	"net"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"islet/appliance/paas/v1alpha1"
)

// recipe is how the platform runs an engine.
type recipe struct {
	port int32
	// scheme of addresses, user and database that applications log in with; no database where there are none with names.
	scheme, user, database string
	// path is what follows the host in an address.
	path string
	// files of the configuration, which are mounted at configDir. They have the password in them.
	files func(plan *v1alpha1.ServicePlan, password string) map[string]string
	// args of the image's program.
	args []string
	// env is the variable in which the program that asks finds the password, if it wants it.
	env string
	// ready is what says that it answers, and has read what is on its disk.
	ready []string
	// startSeconds is how long it may take until then.
	startSeconds int32
}

// recipes by engine: what the schema of ServiceClass allows is here.
var recipes = map[v1alpha1.Engine]recipe{
	v1alpha1.EngineRedis:      redis,
	v1alpha1.EnginePostgreSQL: postgresql,
}

// uri is how clients of most languages are told where to go.
func (r recipe) uri(host, password string) string {
	u := url.URL{Scheme: r.scheme, User: url.UserPassword(r.user, password), Host: net.JoinHostPort(host, strconv.Itoa(int(r.port))), Path: r.path}
	return u.String()
}

// container runs an instance.
func (w wanted) container() corev1.Container {
	c := corev1.Container{
		Name: containerName, Image: w.plan.Image, Args: w.recipe.args,
		Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: w.recipe.port, Protocol: corev1.ProtocolTCP}},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: probeEvery, TimeoutSeconds: probeTimeout, FailureThreshold: 2,
			ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: w.recipe.ready}}},
	}
	if w.recipe.env != "" {
		c.Env = []corev1.EnvVar{{Name: w.recipe.env, ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secretName(w.instance)}, Key: v1alpha1.KeyPassword,
		}}}}
	}
	return c
}
