package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// Output runs spec to its end as a tool that answers a question, and returns what it printed to its
// standard output. Its error is what it printed to its error output. The process lives in spec's
// control group, ends with the daemon, and is killed when ctx ends. Of spec it takes Args, Env, Dir
// and Cgroup.
func Output(ctx context.Context, spec Spec) ([]byte, error) {
	var out, problem bytes.Buffer
	cmd := exec.CommandContext(ctx, spec.Args[0], spec.Args[1:]...)
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = spec.Env, spec.Dir, &out, &problem
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := startInGroup(cmd, spec.Cgroup); err != nil {
		return nil, fmt.Errorf("start %s: %w", spec.Args[0], err)
	}
	err := cmd.Wait()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if said := strings.TrimSpace(problem.String()); err != nil && said != "" {
		err = errors.New(said)
	}
	return out.Bytes(), err
}
