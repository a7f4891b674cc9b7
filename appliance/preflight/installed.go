package preflight

import (
	"slices"

	"islet/appliance/config"
)

// Installed returns the checks that make sense on a machine that is a node already: what the platform takes is no longer asked
// for, and nobody is asked about virtual addresses, which this node may hold. Results carry the same ids as those of Checks.
func Installed(in Input) []Check {
	derived, _ := config.Derive(in.Config, in.Facts) // its problems are shown by the fits checks
	eviction, minFree := int64(in.Config.Kubelet.Eviction.Disk), int64(in.Config.Storage.MinFree)
	return slices.Concat(identityChecks(in), resourceChecks(in), diskChecksWith(in, judgeFree(eviction, max(eviction, minFree)+gibibyte)),
		kernelChecks(in), linkChecks(in, derived),
		[]Check{portCheck(in), kubernetesCheck(in), engineCheck(in), firewallCheck(in), allowlistCheck(in)})
}
