package preflight

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/host"
)

// stranger is software that is known to fight with the platform: by the names of its programs, or
// by files that it leaves. Files count even when nothing runs: it may start at the next boot.
type stranger struct {
	name     string
	programs []string
	files    []string
}

// sighting is where a stranger was seen.
type sighting struct{ name, where string }

func kubernetesCheck(in Input) Check {
	return conflict(in, "other-kubernetes", "Other Kubernetes", judgeKubernetes, []stranger{
		{"k3s", []string{"k3s", "k3s-server", "k3s-agent"}, []string{"/var/lib/rancher/k3s/server", "/var/lib/rancher/k3s/agent"}},
		{"rke2", []string{"rke2"}, []string{"/var/lib/rancher/rke2/server", "/var/lib/rancher/rke2/agent"}},
		{"k0s", []string{"k0s"}, []string{"/var/lib/k0s/pki"}},
		{"microk8s", []string{"kubelite"}, []string{"/var/snap/microk8s/current"}},
		{"kubeadm", nil, []string{"/etc/kubernetes/kubelet.conf", "/etc/kubernetes/manifests/kube-apiserver.yaml"}},
		{"a kubelet", []string{"kubelet"}, nil},
		{"an API server", []string{"kube-apiserver"}, nil},
	})
}

func engineCheck(in Input) Check {
	return conflict(in, "container-engine", "Other container engines", judgeEngine, []stranger{
		{"Docker", []string{"dockerd"}, nil},
		{"containerd", []string{"containerd"}, nil},
		{"CRI-O", []string{"crio"}, nil},
	})
}

func firewallCheck(in Input) Check {
	return conflict(in, "firewall", "Host firewall", judgeFirewall, []stranger{
		{"firewalld", []string{"firewalld"}, nil},
	})
}

func allowlistCheck(in Input) Check {
	return conflict(in, "allow-list", "Software that allows known programs only", judgeAllowlist, []stranger{
		{"fapolicyd", []string{"fapolicyd"}, nil},
	})
}

func conflict(in Input, id, title string, judge func([]sighting) verdict, known []stranger) Check {
	return check[[]sighting]{id: id, title: title, judge: judge, probe: func(context.Context) ([]sighting, error) {
		processes, err := host.Processes("/")
		if err != nil {
			return nil, err
		}
		return look("/", processes, known, in.Layout.StateDir), nil
	}}
}

// look finds strangers among processes and files below root.
func look(root string, processes []host.Process, known []stranger, stateDir string) []sighting {
	var seen []sighting
	for _, s := range known {
		for _, p := range processes {
			if !ours(p, processes, stateDir) && (slices.Contains(s.programs, p.Name) || slices.Contains(s.programs, filepath.Base(p.Exe))) {
				seen = append(seen, sighting{s.name, fmt.Sprintf("pid %d", p.PID)})
				break
			}
		}
		for _, path := range s.files {
			if _, err := os.Stat(filepath.Join(root, path)); err == nil {
				seen = append(seen, sighting{s.name, path})
				break
			}
		}
	}
	return seen
}

// seenAs makes the verdict of a kind of stranger.
func seenAs(seen []sighting, status Status, advice string) verdict {
	if len(seen) == 0 {
		return verdict{status: Passed, found: "none"}
	}
	var list []string
	for _, s := range seen {
		list = append(list, s.name+" ("+s.where+")")
	}
	return verdict{status: status, found: strings.Join(list, ", "), threshold: "none", advice: advice}
}

func judgeKubernetes(seen []sighting) verdict {
	return seenAs(seen, Failed, "remove it with its own uninstaller (k3s-uninstall.sh, rke2-uninstall.sh, k0s reset, kubeadm reset) and reboot; two clusters on one machine destroy each other's networking")
}

func judgeEngine(seen []sighting) verdict {
	return seenAs(seen, Warned, "the platform brings its own and does not touch this one, but Docker's firewall rules may drop packets between pods: systemctl disable --now docker if it is not needed")
}

func judgeFirewall(seen []sighting) verdict {
	return seenAs(seen, Warned, "it drops pod and service traffic unless told otherwise: systemctl disable --now firewalld, or add the pod and service networks to its trusted zone and open the platform's ports")
}

func judgeAllowlist(seen []sighting) verdict {
	return seenAs(seen, Warned, "allow the state directory, for instance with a rule allow perm=execute all : dir=/var/lib/appliance/ in /etc/fapolicyd/rules.d, then fagenrules --load")
}
