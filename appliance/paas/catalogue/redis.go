package catalogue

import (
	"fmt"
	"net"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"islet/appliance/paas/v1alpha1"
)

// Where an instance of Redis listens, keeps its data, and reads its configuration.
const (
	redisPort       = 6379
	redisUser       = "default" // the one that there is without access lists
	redisConfigFile = "redis.conf"
	dataDir         = "/data"
	configDir       = "/etc/service"
)

// memoryShare is the part of an instance's memory that its data may take, in percent: while it rewrites its log, it needs more.
const memoryShare = 60

// redisConfig writes the configuration. What it has confirmed is on disk: a power cut takes nothing back. When its memory is
// full it refuses to take more, and removes nothing.
func redisConfig(plan *v1alpha1.ServicePlan, password string) string {
	return fmt.Sprintf(`dir %s
appendonly yes
appendfsync always
save ""
maxmemory %d
maxmemory-policy noeviction
requirepass %s
`, dataDir, plan.Memory.Value()*memoryShare/100, password)
}

// redisURI is how clients of most languages are told where to go.
func redisURI(host, password string) string {
	u := url.URL{Scheme: "redis", User: url.UserPassword(redisUser, password), Host: net.JoinHostPort(host, strconv.Itoa(redisPort)), Path: "/0"}
	return u.String()
}

// redisContainer runs Redis. It is ready when it answers, and has read what is on its disk.
func redisContainer(i *v1alpha1.ServiceInstance, plan *v1alpha1.ServicePlan) corev1.Container {
	port := intstr.FromString(portName)
	return corev1.Container{
		Name: containerName, Image: plan.Image, Args: []string{configDir + "/" + redisConfigFile},
		Ports: []corev1.ContainerPort{{Name: portName, ContainerPort: redisPort, Protocol: corev1.ProtocolTCP}},
		Env: []corev1.EnvVar{{Name: "REDISCLI_AUTH", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
			LocalObjectReference: corev1.LocalObjectReference{Name: secretName(i)}, Key: v1alpha1.KeyPassword,
		}}}},
		ReadinessProbe: &corev1.Probe{PeriodSeconds: probeEvery, TimeoutSeconds: probeTimeout, FailureThreshold: 2,
			ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"/usr/bin/redis-cli", "-e", "ping"}}}},
		LivenessProbe: &corev1.Probe{PeriodSeconds: 2 * probeEvery, TimeoutSeconds: probeTimeout, FailureThreshold: livenessFailures,
			ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: port}}},
	}
}
