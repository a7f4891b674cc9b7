// Package runtime is the container runtime of a node: containerd as a child process, and the images
// that a bundle brings, imported in place.
package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/pelletier/go-toml/v2"

	"islet/appliance/atomicfile"
	"islet/appliance/cgroup"
	"islet/appliance/component"
	"islet/appliance/layout"
)

// Name is containerd's name in the supervisor.
const Name = "containerd"

// Namespace is the containerd namespace that the kubelet's containers and images live in.
const Namespace = "k8s.io"

const snapshotter = "overlayfs"

// Params is what the runtime is told about the node.
type Params struct {
	Layout layout.Layout
	// PauseImage is the full reference of the sandbox image.
	PauseImage string
	// RestrictOOMScoreAdj must be set where CAP_SYS_RESOURCE is missing: without it every pod fails,
	// because the OOM score may then not be lowered.
	RestrictOOMScoreAdj bool
	// Shims is where the shims go: out of containerd's own group, so that ending what is left of
	// containerd never ends a pod.
	Shims *cgroup.Group
	Child func(name string, args ...string) component.Spec
}

// Containerd returns containerd's unit. It is ready when it answers on its socket.
func Containerd(p Params) component.Unit {
	return component.Unit{New: func() component.Component {
		spec := p.Child(Name, "--config", p.configPath())
		spec.Prepare = func(context.Context) error { return p.prepare() }
		spec.Probe = p.answers
		spec.StopTimeout = 10 * time.Second
		return component.NewProcess(spec)
	}}
}

// HostsDir is the directory in which containerd looks, at each pull, for the hosts that an image can be had from.
func HostsDir(l layout.Layout) string { return filepath.Join(l.Generated(), Name, "hosts") }

func (p Params) configPath() string {
	return filepath.Join(p.Layout.Generated(), Name, "config.toml")
}

func (p Params) prepare() error {
	// A stale socket makes the kubelet fail at its start.
	if err := os.Remove(p.Layout.ContainerdSocket()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := p.Shims.Create(); err != nil {
		return err
	}
	return p.writeConfig()
}

func (p Params) writeConfig() error {
	config, err := toml.Marshal(p.config())
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(p.configPath(), config, 0o600)
}

func (p Params) answers(ctx context.Context) error {
	c, err := connect(p.Layout.ContainerdSocket())
	if err != nil {
		return err
	}
	defer c.Close()
	serving, err := c.IsServing(ctx)
	if err == nil && !serving {
		err = errors.New("containerd does not serve yet")
	}
	return err
}

type table = map[string]any

// config is containerd's configuration, version 3. Where images are pulled from, the files in HostsDir say.
func (p Params) config() table {
	hosts := HostsDir(p.Layout)
	return table{
		"version": 3,
		"root":    p.Layout.Containerd(),
		"state":   p.Layout.ContainerdState(),
		// Else containerd runs on without what the kubelet needs, if that could not start, and nothing would bring it back: the
		// kernel's inotify instances may all be taken for a moment.
		"required_plugins": []string{"io.containerd.grpc.v1.cri"},
		"plugins": table{
			"io.containerd.server.v1.grpc":  table{"address": p.Layout.ContainerdSocket()},
			"io.containerd.server.v1.ttrpc": table{"address": p.Layout.ContainerdSocket() + ".ttrpc"},
			"io.containerd.cri.v1.images": table{
				"snapshotter":             snapshotter,
				"discard_unpacked_layers": true,
				"pinned_images":           table{"sandbox": p.PauseImage},
				"registry":                table{"config_path": hosts},
			},
			"io.containerd.cri.v1.runtime": table{
				"restrict_oom_score_adj": p.RestrictOOMScoreAdj,
				"cni": table{
					"bin_dirs": []string{p.Layout.CNIBin()},
					"conf_dir": p.Layout.CNIDir,
				},
				"containerd": table{
					"default_runtime_name": "runc",
					"runtimes": table{"runc": table{
						"runtime_type": "io.containerd.runc.v2",
						"runtime_path": filepath.Join(p.Layout.Bin(), "containerd-shim-runc-v2"),
						"options": table{
							"BinaryName":    filepath.Join(p.Layout.Bin(), "runc"),
							"SystemdCgroup": false,
							"ShimCgroup":    p.Shims.Path(),
						},
					}},
				},
			},
			"io.containerd.nri.v1.nri":      table{"disable": true},
			"io.containerd.gc.v1.scheduler": table{"startup_delay": fmt.Sprint(time.Minute)},
		},
	}
}
