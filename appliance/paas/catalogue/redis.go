package catalogue

import (
	"fmt"

	"islet/appliance/paas/v1alpha1"
)

// redis has one user without access lists, and databases by number: the first is taken.
var redis = recipe{
	port: 6379, scheme: "redis", user: "default", path: "/0", files: redisFiles, args: []string{configDir + "/redis.conf"},
	env: "REDISCLI_AUTH", ready: []string{"/usr/bin/redis-cli", "-e", "ping"}, startSeconds: 120,
}

// memoryShare is the part of an instance's memory that its data may take, in percent: while it rewrites its log, it needs more.
const memoryShare = 60

// redisFiles are the configuration. What it has confirmed is on disk: a power cut takes nothing back. When its memory is
// full it refuses to take more, and removes nothing.
func redisFiles(plan *v1alpha1.ServicePlan, password string) map[string]string {
	return map[string]string{"redis.conf": fmt.Sprintf(`dir %s
appendonly yes
appendfsync always
save ""
maxmemory %d
maxmemory-policy noeviction
requirepass %s
`, dataDir, plan.Memory.Value()*memoryShare/100, password)}
}
