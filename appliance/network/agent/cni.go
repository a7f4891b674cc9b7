package agent

import (
	"encoding/json"
	"os"
	"path/filepath"

	"islet/appliance/atomicfile"
)

// ConflistName sorts first: another network's leftover file must not win.
const ConflistName = "00-islet.conflist"

// writeCNI writes the pod network's conflist. Pods are connected point to point rather than by a
// bridge: all their traffic is routed, so NetworkPolicy sees it without br_netfilter, and a pod that
// reaches itself through a service needs no hairpin.
func (c Config) writeCNI(s Status) error {
	if err := os.MkdirAll(c.CNIDir, 0o755); err != nil {
		return err
	}
	return writeJSON(filepath.Join(c.CNIDir, ConflistName), map[string]any{
		"cniVersion": "1.0.0",
		"name":       "islet",
		"plugins": []map[string]any{
			{
				"type":   "ptp",
				"mtu":    s.MTU,
				"ipMasq": false, // flannel does it, and knows the cluster's whole network
				"ipam": map[string]any{
					"type":    "host-local",
					"ranges":  [][]map[string]string{{{"subnet": s.PodCIDR.String()}}},
					"routes":  []map[string]string{{"dst": "0.0.0.0/0"}},
					"dataDir": filepath.Join(filepath.Dir(c.StatusFile), "ipam"),
				},
			},
			{"type": "portmap", "backend": "nftables", "capabilities": map[string]bool{"portMappings": true}},
		},
	})
}

func writeJSON(path string, content any) error {
	data, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(path, append(data, '\n'), 0o644)
}
