package hierarchy

import (
	"errors"
	"maps"
	"reflect"
	"strings"
	"testing"
)

const (
	// a machine with every v1 controller by itself, a named hierarchy, and v2 beside them
	hybrid = `27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:38 / /sys/fs/cgroup/again rw,relatime - cgroup2 cgroup2 rw
43 31 0:39 / /elsewhere/cpuset rw,relatime - cgroup cgroup rw,cpuset
`
	// systemd mounts some v1 controllers together
	joined = `31 23 0:28 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:11 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/cpuset rw,nosuid shared:12 - cgroup cgroup rw,cpuset,clone_children
`
	unified = `35 24 0:30 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
)

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name      string
		mountinfo string
		unified   bool
		dirs      []string
		inside    []InsideMount
	}{
		{"hybrid", hybrid, false,
			[]string{"/sys/fs/cgroup/cpu/l/h", "/sys/fs/cgroup/memory/l/h", "/sys/fs/cgroup/systemd/l/h", "/sys/fs/cgroup/unified/l/h"},
			[]InsideMount{
				{Target: "/sys/fs/cgroup", FSType: "tmpfs", Data: "mode=755"},
				{Target: "/sys/fs/cgroup/cpu", FSType: "cgroup", Data: "cpu"},
				{Target: "/sys/fs/cgroup/memory", FSType: "cgroup", Data: "memory"},
				{Target: "/sys/fs/cgroup/systemd", FSType: "cgroup", Data: "none,name=systemd"},
				{Target: "/sys/fs/cgroup/unified", FSType: "cgroup2"},
			}},
		{"controllers mounted together", joined, false,
			[]string{"/sys/fs/cgroup/cpu,cpuacct/l/h", "/sys/fs/cgroup/cpuset/l/h"},
			[]InsideMount{
				{Target: "/sys/fs/cgroup", FSType: "tmpfs", Data: "mode=755"},
				{Target: "/sys/fs/cgroup/cpu,cpuacct", FSType: "cgroup", Data: "cpu,cpuacct", Aliases: []string{"cpu", "cpuacct"}},
				{Target: "/sys/fs/cgroup/cpuset", FSType: "cgroup", Data: "cpuset"},
			}},
		{"v2 alone", unified, true,
			[]string{"/sys/fs/cgroup/l/h"},
			[]InsideMount{{Target: "/sys/fs/cgroup", FSType: "cgroup2"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			tree, err := Parse(strings.NewReader(test.mountinfo))
			if err != nil {
				t.Fatal(err)
			}
			if tree.Unified() != test.unified {
				t.Errorf("unified: %v", tree.Unified())
			}
			if got := tree.Group("l/h").Dirs(); !reflect.DeepEqual(got, test.dirs) {
				t.Errorf("directories %q, want %q", got, test.dirs)
			}
			if got := tree.InsideMounts(); !reflect.DeepEqual(got, test.inside) {
				t.Errorf("mounts\n%+v, want\n%+v", got, test.inside)
			}
		})
	}
}

func TestParseWithoutHierarchies(t *testing.T) {
	t.Parallel()
	for _, mountinfo := range []string{"", "garbage", "27 1 254:0 / / rw - ext4 /dev/vda rw\n", "1 2 3 - cgroup"} {
		if _, err := Parse(strings.NewReader(mountinfo)); !errors.Is(err, ErrNone) {
			t.Errorf("%q: got %v, want ErrNone", mountinfo, err)
		}
	}
}

func TestLimitFiles(t *testing.T) {
	t.Parallel()
	limits := Limits{CPUs: 1.5, MemoryMiB: 2}
	for _, test := range []struct {
		name    string
		mount   Mount
		unified bool
		limits  Limits
		want    map[string]string
	}{
		{"v1 cpu", Mount{Controllers: []string{"cpu", "cpuacct"}}, false, limits, map[string]string{"cpu.cfs_quota_us": "150000"}},
		{"v1 memory", Mount{Controllers: []string{"memory"}}, false, limits, map[string]string{"memory.limit_in_bytes": "2097152"}},
		{"v1 other", Mount{Controllers: []string{"pids"}}, false, limits, map[string]string{}},
		{"v2 beside v1", Mount{V2: true}, false, limits, map[string]string{}},
		{"v2 alone", Mount{V2: true}, true, limits, map[string]string{"cpu.max": "150000 100000", "memory.max": "2097152"}},
		{"no limits", Mount{V2: true}, true, Limits{}, map[string]string{}},
	} {
		if got := test.mount.limitFiles(test.limits, test.unified); !maps.Equal(got, test.want) {
			t.Errorf("%s: got %v, want %v", test.name, got, test.want)
		}
	}
}
