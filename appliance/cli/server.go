package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"islet/appliance/layout"
	"islet/appliance/server"
)

// configFlag adds the flag that names the node's answer file.
func configFlag(cmd *cobra.Command, path *string) {
	cmd.Flags().StringVar(path, "config", layout.Default().Config(), "the node's answer `file`")
}

func newServerCommand(env *Env) *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:     "server",
		Short:   "Run the node daemon in the foreground",
		GroupID: groupRun,
		Args:    cobra.NoArgs,
		Long: `Runs everything this node is made of: the datastore, the Kubernetes control plane, the container
runtime, the kubelet, the network and the add-ons, each as a child process that is restarted alone.

It needs root, no operating system packages and no network but the node's own address. Stopping it
stops the platform's processes but no pod: pods go on and the next start finds them.
` + "`appliance install`" + ` sets it up as a service.`,
		Example: `  appliance server                              with /etc/appliance/config.yaml
  appliance server --config site.yaml           with another answer file
  appliance server --bundle islet.bundle        with a bundle that is not appended to this executable`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runServer(cmd.Context(), env, path)
		},
	}
	configFlag(cmd, &path)
	return cmd
}

func runServer(ctx context.Context, env *Env, path string) error {
	if err := requireRoot("run the node daemon"); err != nil {
		return err
	}
	log := env.Logger()
	c, err := loadConfig(path)
	if err != nil {
		return err
	}
	b, err := env.OpenBundle("")
	if err != nil {
		return err
	}
	defer b.Close()
	err = server.Run(ctx, server.Options{Config: c, EtcDir: filepath.Dir(path), Bundle: b, BundlePath: env.BundlePath(), Build: env.Build, Log: log})
	if errors.Is(err, server.ErrStartAnew) && ctx.Err() == nil {
		log.Info("the daemon starts anew")
		return unix.Exec("/proc/self/exe", os.Args, os.Environ()) // the same process, for whoever watches over it
	}
	return err
}

// requireRoot refuses early what would fail halfway for want of rights.
func requireRoot(what string) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return Advise(fmt.Errorf("%w to %s", ErrNotRoot, what), "run it as root, or with sudo")
}
