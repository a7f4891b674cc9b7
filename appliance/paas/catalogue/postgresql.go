package catalogue

import (
	"fmt"

	"islet/appliance/paas/v1alpha1"
)

// postgresql has a database app that belongs to a user app, who is no superuser: images/postgres makes both.
var postgresql = recipe{
	port: 5432, scheme: "postgresql", user: "app", database: "app", path: "/app", files: postgresqlFiles, args: []string{dataDir, configDir},
	ready: []string{"/usr/lib/postgresql/15/bin/pg_isready", "-q", "-h", "127.0.0.1"}, startSeconds: 120,
}

// Of an instance's memory a quarter is for its buffers, as PostgreSQL's documentation advises (section 20.4.1).
const buffersShare = 25

// postgresqlFiles are the configuration. What is committed is on disk before that is said: fsync and synchronous_commit are on by
// default, and stay so. Everybody logs in with a password.
func postgresqlFiles(plan *v1alpha1.ServicePlan, password string) map[string]string {
	return map[string]string{
		"password":    password + "\n",
		"pg_hba.conf": "host all app all scram-sha-256\n",
		"postgresql.conf": fmt.Sprintf(`listen_addresses = '*'
unix_socket_directories = ''
shared_buffers = %dkB
max_connections = 100
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
`, plan.Memory.Value()/1024*buffersShare/100),
	}
}
