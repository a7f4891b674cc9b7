package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// CgroupMode is how control groups are mounted.
type CgroupMode string

// The modes a machine boots in. Hybrid has its controllers on v1 and an empty v2 tree beside them,
// so it is treated as v1 by the kubelet and containerd.
const (
	CgroupNone   CgroupMode = "none"
	CgroupV1     CgroupMode = "v1"
	CgroupHybrid CgroupMode = "hybrid"
	CgroupV2     CgroupMode = "v2"
)

// Cgroup is the machine's control groups.
type Cgroup struct {
	Mode        CgroupMode        `json:"mode"`
	Controllers []string          `json:"controllers"`
	Mounts      map[string]string `json:"mounts"` // controller, or "unified" for v2, to mount point
	ReadOnly    bool              `json:"readOnly"`
}

// Unified reports whether controllers are on the v2 tree.
func (c Cgroup) Unified() bool { return c.Mode == CgroupV2 }

// Missing returns which of the wanted controllers are not there. On v2 the cpuacct, devices and
// freezer controllers of v1 have no counterpart to look for: they are part of the core or of BPF.
func (c Cgroup) Missing(wanted ...string) []string {
	var missing []string
	for _, name := range wanted {
		core := c.Unified() && (name == "cpuacct" || name == "devices" || name == "freezer")
		if !core && !slices.Contains(c.Controllers, name) {
			missing = append(missing, name)
		}
	}
	return missing
}

// readCgroup reads the mounts, and for v2 the controllers of the root group.
func readCgroup(root string, mounts []Mount) (Cgroup, error) {
	c := Cgroup{Mode: CgroupNone, Mounts: map[string]string{}}
	unified := ""
	for _, m := range mounts {
		switch m.Type {
		case "cgroup2":
			unified = m.Point
			c.Mounts["unified"] = m.Point
			c.ReadOnly = c.ReadOnly || m.Has("ro")
		case "cgroup":
			for _, name := range v1Controllers(m) {
				c.Mounts[name] = m.Point
				c.Controllers = append(c.Controllers, name)
			}
			c.ReadOnly = c.ReadOnly || m.Has("ro")
		}
	}
	switch {
	case len(c.Controllers) > 0 && unified != "":
		c.Mode = CgroupHybrid
	case len(c.Controllers) > 0:
		c.Mode = CgroupV1
	case unified != "":
		c.Mode = CgroupV2
		data, err := os.ReadFile(filepath.Join(root, unified, "cgroup.controllers"))
		if err != nil {
			return c, err
		}
		c.Controllers = strings.Fields(string(data))
	}
	slices.Sort(c.Controllers)
	c.Controllers = slices.Compact(c.Controllers)
	return c, nil
}

// v1Controllers picks the controllers out of mount options such as "rw,relatime,cpu,cpuacct".
func v1Controllers(m Mount) []string {
	known := []string{"blkio", "cpu", "cpuacct", "cpuset", "devices", "freezer", "hugetlb", "memory",
		"misc", "net_cls", "net_prio", "perf_event", "pids", "rdma"}
	var found []string
	for _, option := range m.Options {
		if slices.Contains(known, option) {
			found = append(found, option)
		}
	}
	return found
}
