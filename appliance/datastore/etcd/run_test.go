package etcd

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"islet/appliance/datastore"
)

func TestRun(t *testing.T) {
	t.Parallel()
	file := snapshotFile(t)
	var out bytes.Buffer
	if err := Run(t.Context(), []string{"check-file", file}, &out); err != nil {
		t.Fatal(err)
	}
	var report datastore.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || report.Rows != 90 {
		t.Errorf("%s (%v)", out.String(), err)
	}
	end := []string{"--endpoints", "http://127.0.0.1:1"}
	for _, args := range [][]string{
		nil, {"frobnicate"}, {"check"}, {"check", "a", "b"}, {"check", "--what"}, {"digest-sqlite"}, {"members"}, {"members", "x", "--endpoints", "y"}, {"status", "--what"},
		append([]string{"add", "--name", "a"}, end...), append([]string{"add", "--peer", "http://a:1"}, end...), append([]string{"remove"}, end...),
		{"add", "--name", "a", "--peer", "b"}, {"add", "x"}, append([]string{"snapshot"}, end...), {"snapshot", "x"}, {"snapshot", "x", "--endpoints", "http://a:1,http://b:1"},
		{"restore", "--snapshot", file, "--data-dir", file + ".d", "--name", "a"}, {"restore", "--what"},
		{"restore", "--snapshot", file, "--data-dir", file + ".d", "--name", "a", "--peer", "http://127.0.0.1:1", "--bump", "-1"},
		{"convert", "--database", "x"}, {"convert", "--what"},
	} {
		if err := Run(t.Context(), args, io.Discard); err == nil {
			t.Errorf("%q is accepted", args)
		}
	}
}
