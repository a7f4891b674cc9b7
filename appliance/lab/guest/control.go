package guest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// Op is what the control socket is asked to do.
type Op string

// The operations. OpStop and OpRestart are answered once the boot command has ended; the others at once.
const (
	OpStatus   Op = "status"
	OpStart    Op = "start"
	OpStop     Op = "stop"
	OpRestart  Op = "restart"
	OpSignal   Op = "signal"
	OpPowerOff Op = "poweroff"
)

// Request is one line of JSON on a connection of its own.
type Request struct {
	Op     Op  `json:"op"`
	Signal int `json:"signal,omitempty"`
}

// Response answers it, with the state after the operation.
type Response struct {
	Error  string        `json:"error,omitempty"`
	Status ServiceStatus `json:"status"`
}

// ServiceState is where the boot command is in its life.
type ServiceState string

// The states of the boot command.
const (
	StateNone     ServiceState = "none"     // the host has no boot command
	StateRunning  ServiceState = "running"  //
	StateStopping ServiceState = "stopping" // asked to end
	StateWaiting  ServiceState = "waiting"  // ended by itself; started again after RestartDelay
	StateStopped  ServiceState = "stopped"  // ended on request
)

// ServiceStatus tells how the boot command is doing.
type ServiceStatus struct {
	State    ServiceState `json:"state"`
	PID      int          `json:"pid,omitempty"` // inside the host
	Since    time.Time    `json:"since,omitzero"`
	Restarts int          `json:"restarts"`          // ends that nobody had asked for
	LastEnd  string       `json:"lastEnd,omitempty"` // such as "exit status 1" or "signal: killed"
}

// Call sends one request to the control socket of a host and waits for the answer.
func Call(ctx context.Context, socket string, request Request) (status ServiceStatus, err error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return status, fmt.Errorf("ask host to %s: %w", request.Op, err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	var response Response
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return status, fmt.Errorf("ask host to %s: %w", request.Op, errors.Join(err, ctx.Err()))
	}
	if err := json.NewDecoder(conn).Decode(&response); err != nil {
		return status, fmt.Errorf("ask host to %s: %w", request.Op, errors.Join(err, ctx.Err()))
	}
	if response.Error != "" {
		return response.Status, fmt.Errorf("ask host to %s: %s", request.Op, response.Error)
	}
	return response.Status, nil
}

// order is a request on its way to the keeper's loop. The reply channel takes one answer without blocking.
type order struct {
	Request
	reply chan Response
}

// serveControl accepts connections on the inherited listener until ctx ends, and passes each request on to orders.
func serveControl(ctx context.Context, orders chan<- order) error {
	file := os.NewFile(controlFD, "control")
	listener, err := net.FileListener(file)
	_ = file.Close() // the listener has a copy
	if err != nil {
		return fmt.Errorf("open control socket: %w", err)
	}
	defer context.AfterFunc(ctx, func() { _ = listener.Close() })()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := listener.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept on control socket: %w", err)
		}
		conns.Go(func() { answer(ctx, conn, orders) })
	}
}

func answer(ctx context.Context, conn net.Conn, orders chan<- order) {
	defer conn.Close()
	// only reads: the answer to a power-off is written when ctx has ended
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	o := order{reply: make(chan Response, 1)}
	if err := json.NewDecoder(conn).Decode(&o.Request); err != nil {
		if ctx.Err() != nil {
			return // the host ends
		}
		_ = json.NewEncoder(conn).Encode(Response{Error: "not a request: " + err.Error()})
		return
	}
	select {
	case orders <- o:
	case <-ctx.Done():
		return
	}
	var response Response
	select {
	case response = <-o.reply:
	case <-ctx.Done():
		select {
		case response = <-o.reply:
		default:
			return
		}
	}
	_ = json.NewEncoder(conn).Encode(response) // a caller that went away needs no answer
}
