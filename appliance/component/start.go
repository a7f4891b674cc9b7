package component

import (
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"islet/appliance/cgroup"
)

// starter is the one thread that forks children. The kernel sends a child its parent-death signal
// when the *thread* that forked it ends, so the thread must live as long as the process does.
var starter = sync.OnceValue(func() chan<- func() {
	jobs := make(chan func())
	go forkForever(jobs)
	return jobs
})

func forkForever(jobs <-chan func()) {
	runtime.LockOSThread()
	for job := range jobs {
		job()
	}
}

// startInGroup starts cmd inside group: atomically on cgroup v2, right after the fork on v1.
func startInGroup(cmd *exec.Cmd, group *cgroup.Group) error {
	if group == nil {
		return onStarter(cmd.Start)
	}
	if err := group.Create(); err != nil {
		return err
	}
	if dir := group.UnifiedDir(); dir != "" {
		fd, err := os.Open(dir)
		if err != nil {
			return err
		}
		defer fd.Close()
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(fd.Fd())
		return onStarter(cmd.Start)
	}
	if err := onStarter(cmd.Start); err != nil {
		return err
	}
	if err := group.Add(cmd.Process.Pid); err != nil {
		_ = syscall.Kill(cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
		return err
	}
	return nil
}

func onStarter(start func() error) error {
	done := make(chan error)
	starter() <- func() { done <- start() }
	return <-done
}
