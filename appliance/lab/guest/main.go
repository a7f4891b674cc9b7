package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

// Main runs the stage named by args (a whole os.Args) and returns the exit code. Of PID 1, and so of the host, nothing
// is left when it returns.
func Main(args []string) int {
	unignoreSignals()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if len(args) < 2 {
		log.Error("missing stage", "args", args)
		return 2
	}
	spec, err := readSpec()
	if err == nil {
		switch args[1] {
		case StageEnter:
			err = enter(spec)
		case StageKeep:
			err = keep(spec, log)
		default:
			err = fmt.Errorf("unknown stage %q", args[1])
		}
	}
	if err != nil {
		log.Error("host ends", "stage", args[1], "error", err)
		report(err)
		return 1
	}
	return 0
}

// report tells the caller of the enter stage how it went. It does nothing the second time.
func report(err error) {
	pipe := os.NewFile(reportFD, "report")
	defer pipe.Close()
	var message Report
	if err != nil {
		message.Error = err.Error()
	}
	_ = json.NewEncoder(pipe).Encode(message) // nobody reads it if the caller died; the host lives on all the same
}

// errAbandoned means that the caller went away before the host was complete.
var errAbandoned = errors.New("whoever started this host went away")

// awaitGo blocks until the caller has finished its part.
func awaitGo() error {
	pipe := os.NewFile(goFD, "go")
	defer pipe.Close()
	if _, err := io.ReadFull(pipe, make([]byte, 1)); err != nil {
		return errAbandoned
	}
	return nil
}

// keepAcrossExec says which descriptors the next stage inherits.
func keepAcrossExec() {
	for _, fd := range []int{specFD, reportFD, logFD, controlFD} {
		_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0)
	}
	unix.CloseOnExec(lockFD)
}

// closeOnExec makes sure that no command of the host inherits them.
func closeOnExec() {
	for _, fd := range []int{specFD, reportFD, logFD, controlFD} {
		unix.CloseOnExec(fd)
	}
}
