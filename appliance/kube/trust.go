package kube

import (
	"bytes"
	"net/http"
	"os"
	"sync"

	"k8s.io/client-go/rest"
)

// trusting is a transport that trusts what is in its authorities' file now. client-go looks at the file every five minutes only,
// which is longer than a rotation may take.
type trusting struct {
	config *rest.Config

	mu   sync.Mutex
	ca   []byte
	base http.RoundTripper
}

// newTransport follows a configuration's file of its authority. One that has it in itself has nothing to follow.
func newTransport(config *rest.Config) (http.RoundTripper, error) {
	if config.CAFile == "" {
		return rest.TransportFor(config)
	}
	t := &trusting{config: config}
	_, err := t.transport()
	return t, err
}

// RoundTrip implements http.RoundTripper. A file that cannot be read leaves what was trusted before.
func (t *trusting) RoundTrip(req *http.Request) (*http.Response, error) {
	base, err := t.transport()
	if err != nil {
		return nil, err
	}
	return base.RoundTrip(req)
}

func (t *trusting) transport() (http.RoundTripper, error) {
	ca, err := os.ReadFile(t.config.CAFile)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.base != nil && (err != nil || bytes.Equal(ca, t.ca)) {
		return t.base, nil
	}
	if err != nil {
		return nil, err
	}
	config := rest.CopyConfig(t.config)
	config.CAFile, config.CAData = "", ca
	base, err := rest.TransportFor(config)
	if err == nil {
		t.base, t.ca = base, ca
	}
	return base, err
}
