package lab_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"islet/appliance/lab"
)

// toolVariable makes the test binary, which is /usr/local/bin/appliance in every host, one of the programs below.
const toolVariable = "LAB_TEST_TOOL"

// tool makes a command of a host of it.
func tool(args ...string) lab.Command {
	return lab.Command{Args: append([]string{"/usr/local/bin/appliance"}, args[1:]...), Env: []string{toolVariable + "=" + args[0]}}
}

func toolService(args ...string) lab.Service {
	command := tool(args...)
	return lab.Service{Args: command.Args, Env: command.Env}
}

// maybeBecomeTool does not return if the process was started as a tool.
func maybeBecomeTool() {
	name := os.Getenv(toolVariable)
	if name == "" {
		return
	}
	tools := map[string]func(args []string) error{
		"serve": serve, "dial": dial, "datagram": datagram, "parent": parent, "stubborn": stubborn, "up": crashingUp,
		"forward": forwardPackets, "nft": packetFilter, "v2": runOnV2, "umask": upWithUmask,
	}
	if err := tools[name](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serve answers HTTP on an address with the host's name.
func serve(args []string) error {
	listener, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		name, _ := os.Hostname()
		_, _ = io.WriteString(w, name)
	}))
}

// dial connects and ends.
func dial(args []string) error {
	conn, err := net.DialTimeout("tcp", args[0], time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}

// datagram sends one.
func datagram(args []string) error {
	conn, err := net.Dial("udp", args[0])
	if err != nil {
		return err
	}
	if _, err := conn.Write([]byte("x")); err != nil {
		return err
	}
	return conn.Close()
}

// parent starts a child that outlives it, as a daemon's engines do.
func parent([]string) error {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = os.StartProcess("/bin/sleep", []string{"child-of-boot", "1000"}, &os.ProcAttr{Files: []*os.File{null, os.Stdout, os.Stderr}})
	if err != nil {
		return err
	}
	fmt.Fprintln(os.Stdout, "parent is ready")
	time.Sleep(time.Hour) // not select: without cgo the runtime would call that a deadlock
	return nil
}

// stubborn ignores SIGTERM.
func stubborn([]string) error {
	signal.Ignore(syscall.SIGTERM)
	fmt.Fprintln(os.Stdout, "stubborn is ready")
	time.Sleep(time.Hour)
	return nil
}

// packetFilter makes an nftables table with a chain, a rule and a set, or with an argument flushes all there are.
func packetFilter(args []string) error {
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		conn.FlushRuleset()
		return conn.Flush()
	}
	table := conn.AddTable(&nftables.Table{Name: "left", Family: nftables.TableFamilyINet})
	chain := conn.AddChain(&nftables.Chain{Name: "over", Table: table})
	conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: []expr.Any{&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}}})
	err = conn.AddSet(&nftables.Set{Name: "ports", Table: table, KeyType: nftables.TypeInetService}, []nftables.SetElement{{Key: []byte{0, 80}}})
	return errors.Join(err, conn.Flush())
}

// crashingUp brings up a lab of two hosts; the test kills it on the way. Its arguments are those of a layout.
func crashingUp(args []string) error {
	layout := lab.Layout{StateDir: args[0], RunDir: args[1], Cgroup: args[2]}
	spec := lab.Spec{Name: "crash", Hosts: []lab.HostSpec{
		{Boot: lab.Service{Args: []string{"sleep", "1000"}}, Files: map[string]lab.File{"/etc/x/y": {Data: []byte("z")}}}, {},
	}}
	_, err := layout.Up(context.Background(), spec, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(args[0], "done"), nil, 0o600)
}
