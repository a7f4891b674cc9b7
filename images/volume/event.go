package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// credentials is where a pod finds those of its service account.
const credentials = "/var/run/secrets/kubernetes.io/serviceaccount"

const eventTimeout = 10 * time.Second

// cluster is the Kubernetes API as the helper pod reaches it.
type cluster struct {
	url    string
	token  string
	client *http.Client
}

// inCluster is the API of the cluster that this pod is in.
func inCluster(dir string, getenv func(string) string) (cluster, error) {
	token, err := os.ReadFile(filepath.Join(dir, "token"))
	if err != nil {
		return cluster{}, err
	}
	ca, err := os.ReadFile(filepath.Join(dir, "ca.crt"))
	if err != nil {
		return cluster{}, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(ca) {
		return cluster{}, fmt.Errorf("%s/ca.crt holds no certificate", dir)
	}
	return cluster{
		url:    "https://" + net.JoinHostPort(getenv("KUBERNETES_SERVICE_HOST"), getenv("KUBERNETES_SERVICE_PORT")),
		token:  strings.TrimSpace(string(token)),
		client: &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}},
	}, nil
}

// claim is whom the volume is for, read from its directory's name: pvc-UID_NAMESPACE_CLAIM.
type claim struct{ uid, namespace, name string }

func (v volume) claim() (claim, error) {
	parts := strings.SplitN(strings.TrimPrefix(filepath.Base(v.path), "pvc-"), "_", 3)
	if len(parts) != 3 {
		return claim{}, fmt.Errorf("%q: %w", v.path, errPath)
	}
	return claim{parts[0], parts[1], parts[2]}, nil
}

// refuse tells the claim's owner, where owners look, why there is no volume: the provisioner waits for this pod to succeed
// and says nothing but that it did not.
func (c cluster) refuse(ctx context.Context, of claim, why error, now time.Time) error {
	stamp := now.UTC().Format(time.RFC3339)
	type object = map[string]any
	body, err := json.Marshal(object{
		"apiVersion": "v1", "kind": "Event",
		"metadata": object{"generateName": of.name + ".", "namespace": of.namespace},
		"involvedObject": object{
			"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": of.namespace, "name": of.name, "uid": of.uid,
		},
		"type": "Warning", "reason": "VolumeRefused", "message": why.Error(), "count": 1,
		"firstTimestamp": stamp, "lastTimestamp": stamp, "source": object{"component": "local-storage"},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, eventTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+"/api/v1/namespaces/"+of.namespace+"/events", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+c.token)
	request.Header.Set("Content-Type", "application/json")
	response, err := c.client.Do(request)
	if err != nil {
		return fmt.Errorf("tell the owner of %s/%s: %w", of.namespace, of.name, err)
	}
	if err := response.Body.Close(); err != nil {
		return err
	}
	if response.StatusCode != http.StatusCreated {
		return fmt.Errorf("tell the owner of %s/%s: %s", of.namespace, of.name, response.Status)
	}
	return nil
}
