package server

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"islet/appliance/component"
	"islet/appliance/controlplane"
	"islet/appliance/pki"
)

const (
	// tenancyName is the program of the kube engine that runs the platform's controllers.
	tenancyName = "tenancy"
	// tenancyLease is held by the server that runs them.
	tenancyLease = "islet-tenancy"
)

// tenancyUnit runs the platform's controllers, on one server of the site at a time.
func (n *node) tenancyUnit() component.Unit {
	ready := filepath.Join(n.layout.RunDir, "tenancy.ready")
	return component.Unit{
		Backoff: func(int) time.Duration { return 2 * time.Second },
		New: func() component.Component {
			a := n.access(controlplane.LeafDaemon)
			args := []string{"--server", a.Server, "--ca", a.CAFile, "--cert", a.CertFile, "--key", a.KeyFile, "--domain", n.derived.Domain,
				"--site-secret", n.pki.SecretFile(pki.EncryptionSecret), "--ready", ready}
			if n.several() {
				args = append(args, "--lease", tenancyLease, "--identity", n.derived.NodeName)
			}
			spec := n.child(tenancyName, args...)
			spec.Needs = []string{addonsName}
			spec.Prepare = func(context.Context) error {
				err := os.Remove(ready)
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			spec.Probe = func(context.Context) error {
				_, err := os.Stat(ready)
				return err
			}
			return component.NewProcess(spec)
		},
	}
}
