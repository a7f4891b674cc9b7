package config

import "strings"

// maxSocketPath is what fits into sockaddr_un with its final zero (unix(7)).
const maxSocketPath = 107

// paths judges where the platform wants to live.
func (j *judge) paths(c Config) {
	l := c.Layout("/etc/appliance")
	state, run := c.Paths.StateDir, c.Paths.RunDir
	if !isCleanPath(state) || !isCleanPath(run) {
		return // reported by their format
	}
	for _, dir := range []string{"/proc", "/sys", "/dev", "/run", "/var/run"} {
		if within(state, dir) {
			j.refuse("paths.stateDir", "use a directory on a local disk, such as /var/lib/appliance", "%s does not survive a reboot", state)
		}
	}
	if within(state, "/tmp") || within(state, "/var/tmp") {
		j.warn("paths.stateDir", "use a directory such as /var/lib/appliance", "%s is in a directory that many systems clean up by themselves", state)
	}
	if within(state, run) || within(run, state) {
		j.refuse("paths.runDir", "keep them apart: one must survive a reboot, the other must not", "%s and paths.stateDir %s are inside one another", run, state)
	}
	if socket := l.ContainerdSocket(); len(socket) > maxSocketPath {
		j.refuse("paths.runDir", "choose a shorter path", "%s has %d characters, the limit for a socket is %d", socket, len(socket), maxSocketPath)
	}
	if socket := l.Kubelet() + "/device-plugins/kubelet.sock"; len(socket) > maxSocketPath {
		j.refuse("paths.stateDir", "choose a shorter path", "%s has %d characters, the limit for a socket is %d", socket, len(socket), maxSocketPath)
	}
}

// storage judges the volumes' place and the space they must leave.
func (j *judge) storage(c Config) {
	l := c.Layout("/etc/appliance")
	if path := c.Storage.Path; path != "" && isCleanPath(path) {
		taken := []string{l.Engines(), l.Containerd(), l.Kubelet(), l.Datastore(), l.PKI(), l.Generated(),
			l.Backups(), l.Registry(), l.Journal(), l.Logs(), c.Paths.RunDir}
		for _, dir := range taken {
			if within(path, dir) || within(dir, path) {
				j.refuse("storage.path", "use a directory of its own, such as "+l.Storage(), "%s and the platform's own %s are inside one another", path, dir)
				break
			}
		}
	}
	if c.Storage.MinFree < c.Kubelet.Eviction.Disk {
		j.refuse("storage.minFree", "use at least kubelet.eviction.disk", "%s is less than kubelet.eviction.disk %s: a full volume would evict pods", c.Storage.MinFree, c.Kubelet.Eviction.Disk)
	}
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, dir+"/")
}
