package config

import (
	"net/netip"
	"time"

	"islet/appliance/layout"
)

const (
	mebibyte Size = 1 << 20
	gibibyte Size = 1 << 30
)

// Default is the configuration of a file that says nothing. It is valid as it is.
func Default() Config {
	paths := layout.Default()
	return Config{
		APIVersion: APIVersion,
		Kind:       Kind,
		Site:       Site{Name: "site", Zone: "default", RescheduleAfter: Duration(time.Minute)},
		Node:       Node{Role: RoleServer},
		Network: Network{
			PodCIDR:       netip.MustParsePrefix("10.42.0.0/16"),
			ServiceCIDR:   netip.MustParsePrefix("10.43.0.0/16"),
			ClusterDomain: "cluster.local",
			Backend:       BackendAuto,
			NodePortRange: PortRange{First: 30000, Last: 32767},
		},
		Datastore: Datastore{
			Store:     StoreSQLite,
			Snapshots: Snapshots{Interval: Duration(time.Hour), Keep: 24, MaxBytes: 2 * gibibyte},
		},
		Backup:  Backup{Interval: Duration(24 * time.Hour), Keep: 7, MaxBytes: gibibyte},
		Gateway: Gateway{Enabled: true, HTTPPort: 80, HTTPSPort: 443},
		Storage: Storage{MinFree: 4 * gibibyte},
		Kubelet: Kubelet{
			MaxPods:        110,
			SystemReserved: Reserved{CPU: 100, Memory: 256 * mebibyte, EphemeralStorage: gibibyte},
			KubeReserved:   Reserved{CPU: 250, Memory: 768 * mebibyte, EphemeralStorage: gibibyte},
			Eviction:       Eviction{Memory: 200 * mebibyte, Disk: 2 * gibibyte, InodesPercent: 5},
		},
		Security: Security{
			PodSecurity: PodSecurityBaseline,
			Audit:       Audit{MaxSizeMiB: 50, MaxBackups: 10, MaxAgeDays: 90},
		},
		Logs:  Logs{MaxSizeMiB: 10, MaxFiles: 5},
		Paths: Paths{StateDir: paths.StateDir, RunDir: paths.RunDir},
	}
}
