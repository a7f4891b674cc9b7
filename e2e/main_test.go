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

	"golang.org/x/sync/semaphore"

	"islet/appliance/lab"
)

// labPrefix starts the name of every lab of these tests; the id of the test process follows.
const labPrefix = "e2e"

// places are for hosts that run at once: a host takes up to 15 instances of inotify, and Linux has 128 of them. Tests that
// measure how long something takes run alone; the others, marked as parallel, share the places.
var places = semaphore.NewWeighted(8)

// takePlace waits until there is room for that many hosts, until the end of the test.
func takePlace(t *testing.T, hosts int) {
	t.Helper()
	if err := places.Acquire(t.Context(), int64(hosts)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { places.Release(int64(hosts)) })
}

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
