package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/config"
	"islet/appliance/runtime"
)

func newKubectlCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "kubectl [ARGUMENT...]",
		Short:   "Run kubectl against this node's cluster as its administrator",
		GroupID: groupLook,
		Long: `Runs the kubectl of the version that this node runs, with the administrator's certificate of this
node. KUBECONFIG, if set, wins. All arguments are kubectl's own.`,
		Example: `  appliance kubectl get nodes
  appliance kubectl -n demo logs deploy/hello`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, _, err := installed()
			if err == nil && c.Node.Role != config.RoleServer && env.Getenv("KUBECONFIG") == "" {
				err = Exit(CodeNotServer, Advise(errors.New("this node is an agent: it has no administrator's certificate"),
					"run it on a server, or name a kubeconfig in KUBECONFIG"))
			}
			if err != nil {
				return err
			}
			return env.kubectl(cmd.Context(), args)
		},
	}
}

func newCtrCommand(env *Env) *cobra.Command {
	return &cobra.Command{
		Use:     "ctr [ARGUMENT...]",
		Short:   "Run containerd's client on this node's containers",
		GroupID: groupLook,
		Long: `Runs containerd's own client ctr against this node's containerd, in the namespace of its pods. It works
while Kubernetes is down. All arguments are ctr's own.`,
		Example: `  appliance ctr containers list
  appliance ctr images list -q`,
		DisableFlagParsing: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := requireRoot("talk to containerd"); err != nil {
				return err
			}
			_, l, err := installed()
			if err != nil {
				return err
			}
			program, err := engineProgram(l, "ctr")
			if err != nil {
				return err
			}
			args = append([]string{"--address", l.ContainerdSocket(), "--namespace", runtime.Namespace}, args...)
			return env.pass(cmd.Context(), os.Environ(), program, args)
		},
	}
}

// passStop is how long a program that was interrupted may take to end.
const passStop = 5 * time.Second

// pass runs a program with this process's streams and ends with its exit code, or as a shell does
// with 128 and the number of the signal that ended it. An interrupt is passed on.
func (e *Env) pass(ctx context.Context, environ []string, program string, args []string) error {
	child := exec.CommandContext(ctx, program, args...)
	child.Env, child.Stdin, child.Stdout, child.Stderr = environ, e.Stdio.In, e.Stdio.Out, e.Stdio.Err
	child.Cancel = func() error { return child.Process.Signal(syscall.SIGTERM) }
	child.WaitDelay = passStop
	err := child.Run()
	if ctx.Err() != nil {
		return &ExitError{Code: CodeInterrupted}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return &ExitError{Code: 128 + Code(status.Signal())}
		}
		return &ExitError{Code: Code(exit.ExitCode())}
	}
	return err
}
