package preflight

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/config"
	"islet/appliance/host"
)

// takenPort is a port that the platform wants and a stranger has.
type takenPort struct {
	port   config.Port
	holder string
}

// portCheck looks for strangers on our ports. What the platform itself listens on does not count,
// so the check can be repeated on a running node.
func portCheck(in Input) Check {
	return check[[]takenPort]{id: "ports", title: "Ports", probe: findTaken(in), judge: judgePorts(len(in.Config.Ports()))}
}

func findTaken(in Input) func(context.Context) ([]takenPort, error) {
	return func(context.Context) ([]takenPort, error) {
		listeners, err := host.Listeners("/")
		if err != nil {
			return nil, err
		}
		processes, err := host.Processes("/")
		if err != nil {
			return nil, err
		}
		var taken []takenPort
		for _, port := range in.Config.Ports() {
			for _, l := range listeners {
				if !collides(port, l) {
					continue
				}
				owner, found := l.Owner("/", processes)
				if found && ours(owner, processes, in.Layout.StateDir) || !found && tunnel(port) {
					continue
				}
				taken = append(taken, takenPort{port, describe(owner, found)})
				break
			}
		}
		return taken, nil
	}
}

// collides: a program on one address blocks a listener on all addresses, and on its own.
func collides(p config.Port, l host.Listener) bool {
	if l.Protocol != p.Protocol || l.Address.Port() != p.Number {
		return false
	}
	addr := l.Address.Addr()
	return !p.Loopback || addr.IsUnspecified() || addr.IsLoopback()
}

// tunnel tells the port of the kernel's vxlan: no process holds its socket, and other vxlan links
// may share it.
func tunnel(p config.Port) bool { return p.Protocol == "udp" }

// ours tells the platform's own programs: staged engines, other processes of this executable, and
// what runs below those, such as containers in the host's network.
func ours(p host.Process, all []host.Process, stateDir string) bool {
	self, err := os.Executable()
	return slices.ContainsFunc(p.Ancestry(all), func(a host.Process) bool {
		return strings.HasPrefix(a.Exe, stateDir+"/") || err == nil && a.Exe == self
	})
}

func describe(p host.Process, found bool) string {
	if !found {
		return "the kernel or a program in a container"
	}
	name := p.Name
	if p.Exe != "" {
		name = filepath.Base(p.Exe)
	}
	return fmt.Sprintf("%s (pid %d)", name, p.PID)
}

func judgePorts(wanted int) func([]takenPort) verdict {
	return func(taken []takenPort) verdict {
		v := verdict{status: Passed, found: fmt.Sprintf("all %d are free or ours", wanted), value: float64(len(taken)), unit: "count", threshold: "none taken"}
		if len(taken) == 0 {
			return v
		}
		var list []string
		v.advice = "stop those programs"
		for _, t := range taken {
			list = append(list, fmt.Sprintf("%d/%s for %s is held by %s", t.port.Number, t.port.Protocol, t.port.Purpose, t.holder))
			if t.port.Path != "" {
				v.advice += ", or set " + t.port.Path
			}
		}
		v.status, v.found = Failed, strings.Join(list, "; ")
		return v
	}
}
