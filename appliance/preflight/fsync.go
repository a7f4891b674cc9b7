package preflight

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"
)

// The datastore commits by appending a few pages to its log and waiting for the disk; this does the
// same. 200 writes are enough for a 99th percentile; the time limit keeps slow disks bearable.
const (
	fsyncWrites = 200
	fsyncBytes  = 8 << 10
	fsyncLimit  = 3 * time.Second
)

// measureFsync returns the 99th percentile of a write followed by fdatasync in dir.
func measureFsync(dir string) func(context.Context) (time.Duration, error) {
	return func(ctx context.Context) (time.Duration, error) {
		file, err := os.CreateTemp(dir, ".preflight-fsync-*")
		if err != nil {
			return 0, err
		}
		defer os.Remove(file.Name())
		defer file.Close()
		page := make([]byte, fsyncBytes)
		took := make([]time.Duration, 0, fsyncWrites)
		for until := time.Now().Add(fsyncLimit); len(took) < fsyncWrites && time.Now().Before(until); {
			if err := ctx.Err(); err != nil {
				return 0, err
			}
			started := time.Now()
			if _, err := file.Write(page); err != nil {
				return 0, err
			}
			if err := fdatasync(file); err != nil {
				return 0, err
			}
			took = append(took, time.Since(started))
		}
		return percentile(took, 99), nil
	}
}

// percentile is the smallest value that at least p percent of the values do not exceed.
func percentile(values []time.Duration, p int) time.Duration {
	if len(values) == 0 {
		return 0
	}
	slices.Sort(values)
	return values[max(0, (len(values)*p+99)/100-1)]
}

func judgeFsync(p99 time.Duration) verdict {
	ms := float64(p99) / float64(time.Millisecond)
	v := verdict{status: Passed, found: fmt.Sprintf("%.1f ms at the 99th percentile", ms), value: ms, unit: "ms", threshold: "20 ms or less, 1000 ms at most"}
	switch {
	case p99 > time.Second:
		v.status, v.advice = Failed, "check the disk (smartctl -a, dmesg): the control plane loses its leases at this speed"
	case p99 > 20*time.Millisecond:
		v.status, v.advice = Warned, "the API will be slow under load; prefer an SSD, or give the state directory a disk of its own"
	}
	return v
}
