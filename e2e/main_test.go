package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"islet/appliance/lab"
)

// labPrefix starts the name of every lab of these tests; the id of the test process follows.
const labPrefix = "e2e"

func TestMain(m *testing.M) {
	lab.MaybeInit()
	if err := sweep(); err != nil {
		fmt.Fprintln(os.Stderr, "e2e: labs of an earlier run that was killed stay:", err)
	}
	os.Exit(m.Run())
}

// sweep takes down the labs of test processes that are no more.
func sweep() error {
	if os.Geteuid() != 0 {
		return nil
	}
	labs, err := lab.List()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, l := range labs {
		name, ours := strings.CutPrefix(l.Name(), labPrefix)
		owner, _, _ := strings.Cut(name, "-")
		pid, err := strconv.Atoi(owner)
		if !ours || err != nil || syscall.Kill(pid, 0) == nil {
			continue
		}
		if err := l.Down(ctx); err != nil {
			return err
		}
	}
	return nil
}

// executable is the file under test. Without it or without root the test is skipped.
func executable(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("end-to-end tests make isolated hosts and need root")
	}
	path := os.Getenv("APPLIANCE")
	if path == "" {
		path = filepath.Join("..", "build", "appliance")
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("there is no file to test: run `make bundle`, or name one in APPLIANCE: %v", err)
	}
	return path
}
