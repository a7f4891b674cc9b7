package e2e

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// containerID is that of the pod's only container, as containerd has it.
func containerID(pod *corev1.Pod) string {
	if len(pod.Status.ContainerStatuses) == 0 {
		return ""
	}
	return strings.TrimPrefix(pod.Status.ContainerStatuses[0].ContainerID, "containerd://")
}

// processOf finds the process of a container, by its control group, as the machine sees it.
func (p *platform) processOf(t *testing.T, container string) int {
	t.Helper()
	pids, err := p.host.Processes()
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		groups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		if err == nil && container != "" && strings.Contains(string(groups), container) {
			return pid
		}
	}
	t.Fatalf("none of %d processes is of container %q", len(pids), container)
	return 0
}

// parentOf reads a process's parent, as the machine sees it.
func parentOf(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if parent, ok := strings.CutPrefix(line, "PPid:"); ok {
			return strconv.Atoi(strings.TrimSpace(parent))
		}
	}
	return 0, fmt.Errorf("process %d has no parent", pid)
}

func commandLine(pid int) string {
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // a process that is gone has none
	return strings.ReplaceAll(string(line), "\x00", " ")
}
