// Package guest is what runs inside a lab host: it turns a freshly cloned process into PID 1 of the host, keeps the boot
// command running like a systemd unit would, and answers the control socket. Package lab starts it and talks to it.
package guest

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Argv0 as the program's name makes Main take over; the second argument is the stage.
const Argv0 = "islet-lab-init"

// The stages of PID 1. Enter builds the host around itself and executes itself again as Keep: a namespace entered by one
// thread of a Go process only becomes that of the whole process through execve.
const (
	StageEnter = "enter"
	StageKeep  = "keep"
)

// Files that the caller passes to the enter stage, as descriptors from 3 up in this order (exec.Cmd.ExtraFiles).
const (
	specFD    = 3 + iota // a memfd with the Spec as JSON; both stages read it
	goFD                 // pipe: one byte means the network is there; end of file without it means the caller died
	reportFD             // pipe: one Report when the host runs or cannot
	logFD                // directory for the boot log, outside the host
	controlFD            // listening unix socket
	lockFD               // the lab's lock; kept so that nobody tears down what is still being built
)

// Spec is all that PID 1 has to know.
type Spec struct {
	Label    string  `json:"label"`    // LAB/HOST
	Hostname string  `json:"hostname"` // also uts nodename
	Root     string  `json:"root"`     // empty directory on the machine: mount point of the host's root
	Upper    string  `json:"upper"`    // overlay upper and work directories on a real file system
	Work     string  `json:"work"`
	VarLib   string  `json:"varLib"` // real directory for /var/lib: containerd's overlayfs cannot sit on an overlay
	Cgroup   string  `json:"cgroup"` // path of the host's group in every hierarchy
	Boot     Service `json:"boot"`
}

// Service is the boot command. Without Args there is none.
type Service struct {
	Args        []string      `json:"args,omitempty"`
	Env         []string      `json:"env,omitempty"` // added to Environ
	StopTimeout time.Duration `json:"stopTimeout,omitempty"`
}

// Report is what the caller reads once from the report pipe. An empty Error means that the host runs.
type Report struct {
	Error string `json:"error,omitempty"`
}

// Environ is the environment of everything started in a host; nothing is inherited from the machine.
func Environ() []string {
	return []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/sh", "LANG=C.UTF-8",
	}
}

// SpecFile puts spec into an anonymous file to pass on as the first extra file. The caller closes it.
func SpecFile(spec Spec) (*os.File, error) {
	content, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode host spec: %w", err)
	}
	fd, err := unix.MemfdCreate("islet-lab-spec", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("create memfd: %w", err)
	}
	file := os.NewFile(uintptr(fd), "islet-lab-spec")
	if _, err := file.WriteAt(content, 0); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("write host spec: %w", err)
	}
	return file, nil
}

func readSpec() (Spec, error) {
	var spec Spec
	var stat unix.Stat_t
	if err := unix.Fstat(specFD, &stat); err != nil {
		return spec, fmt.Errorf("read host spec: %w", err)
	}
	content := make([]byte, stat.Size)
	if _, err := unix.Pread(specFD, content, 0); err != nil {
		return spec, fmt.Errorf("read host spec: %w", err)
	}
	if err := json.Unmarshal(content, &spec); err != nil {
		return spec, fmt.Errorf("read host spec: %w", err)
	}
	return spec, nil
}
