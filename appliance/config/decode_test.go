package config

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestDecodeKeepsDefaultsOfWhatTheFileDoesNotSay(t *testing.T) {
	t.Parallel()
	got, warnings, err := Decode(strings.NewReader(header + "node:\n  name:\n  labels:\n    rack: a\n"))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("Decode: %v, warnings %v", err, warnings)
	}
	want := Default()
	want.Node.Labels = map[string]string{"rack": "a"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestDecodeReadsEveryType(t *testing.T) {
	t.Parallel()
	text := header + `
node:
  address: 192.0.2.10
  taints: [dedicated=db:NoSchedule, "gpu:NoExecute"]
network: {podCIDR: 172.20.0.0/16, nodePortRange: 31000-31999, dns: [192.0.2.53]}
datastore: {snapshots: {interval: 90m, maxBytes: 1500M}}
gateway: {enabled: False}
kubelet: {systemReserved: {cpu: 1.5, memory: 536870912}, kubeReserved: {cpu: 2}}
`
	c, _, err := Decode(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.Node.Address = netip.MustParseAddr("192.0.2.10")
	want.Node.Taints = []Taint{{"dedicated", "db", "NoSchedule"}, {"gpu", "", "NoExecute"}}
	want.Network.PodCIDR = netip.MustParsePrefix("172.20.0.0/16")
	want.Network.NodePortRange = PortRange{31000, 31999}
	want.Network.DNS = []netip.Addr{netip.MustParseAddr("192.0.2.53")}
	want.Datastore.Snapshots.Interval = Duration(90 * time.Minute)
	want.Datastore.Snapshots.MaxBytes = 1_500_000_000
	want.Gateway.Enabled = false
	want.Kubelet.SystemReserved.CPU = 1500
	want.Kubelet.SystemReserved.Memory = 512 * mebibyte
	want.Kubelet.KubeReserved.CPU = 2000
	if !reflect.DeepEqual(c, want) {
		t.Errorf("got %+v\nwant %+v", c, want)
	}
}

func TestDecodeReportsAReaderThatFails(t *testing.T) {
	t.Parallel()
	_, _, err := Decode(iotest.ErrReader(errors.New("medium removed")))
	if err == nil || !strings.Contains(err.Error(), "medium removed") {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestExampleIsTheDefault(t *testing.T) {
	t.Parallel()
	text, err := Example()
	if err != nil {
		t.Fatal(err)
	}
	c, warnings, err := Decode(bytes.NewReader(text))
	if err != nil || len(warnings) > 0 {
		t.Fatalf("the example does not pass: %v %v", err, warnings)
	}
	if !reflect.DeepEqual(c, Default()) {
		t.Errorf("the example decodes to %+v", c)
	}
	golden(t, "testdata/example.yaml", string(text))
}

// FuzzDecode checks that no input makes the decoder panic, that every refusal says something, and
// that what was accepted is written back to the same configuration.
func FuzzDecode(f *testing.F) {
	example, err := os.ReadFile("testdata/example.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(example)
	f.Add([]byte(header + "node: {labels: {a: \"\", \"b\": \"1\"}, taints: [\"a=b:NoExecute\"]}\nnetwork: {dns: [192.0.2.1]}\n"))
	for _, c := range badFiles {
		f.Add([]byte(header + c.text))
	}
	for _, c := range brokenFiles[:len(brokenFiles)-1] {
		f.Add([]byte(c.text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, _, err := Decode(bytes.NewReader(data))
		if err != nil {
			var problems Problems
			if !errors.As(err, &problems) || problems.Error() == "" {
				t.Fatalf("error without problems: %#v", err)
			}
			lines := 1
			for _, r := range string(data) {
				if strings.ContainsRune("\r\n\u0085\u2028\u2029", r) { // what YAML 1.1 takes for the end of a line
					lines++
				}
			}
			for _, p := range problems {
				if p.Message == "" || p.Advice == "" || p.Line < 0 || p.Line > lines || p.Line > 0 && p.Column < 1 {
					t.Fatalf("a problem without words, advice or place in %d lines: %+v\nin\n%s", lines, p, data)
				}
			}
			return
		}
		text, err := Marshal(c, true)
		if err != nil {
			t.Fatal(err)
		}
		again, _, err := Decode(bytes.NewReader(text))
		if err != nil {
			t.Fatalf("%v\nin\n%s", err, text)
		}
		if !reflect.DeepEqual(c, again) {
			t.Fatalf("got %+v\nwant %+v\nfrom\n%s", again, c, text)
		}
	})
}
