// Package kubeconfig writes the client configuration files of the node's own components and of its
// operator.
package kubeconfig

import (
	"encoding/base64"
	"fmt"
	"os"

	"sigs.k8s.io/yaml"

	"islet/appliance/atomicfile"
)

// Access says how a client reaches the Kubernetes API and as whom.
type Access struct {
	Server   string // https://host:port
	CAFile   string
	CertFile string
	KeyFile  string
}

// WriteReference writes a kubeconfig that names the certificate files: clients re-read them, so a
// renewed certificate is taken up without a restart.
func WriteReference(path string, a Access) error {
	return write(path, map[string]any{"server": a.Server, "certificate-authority": a.CAFile},
		map[string]any{"client-certificate": a.CertFile, "client-key": a.KeyFile})
}

// WriteEmbedded writes a kubeconfig that holds the certificates itself and may be carried away.
func WriteEmbedded(path string, a Access) error {
	var encoded [3]string
	for i, file := range []string{a.CAFile, a.CertFile, a.KeyFile} {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("write kubeconfig %s: %w", path, err)
		}
		encoded[i] = base64.StdEncoding.EncodeToString(data)
	}
	return write(path, map[string]any{"server": a.Server, "certificate-authority-data": encoded[0]},
		map[string]any{"client-certificate-data": encoded[1], "client-key-data": encoded[2]})
}

func write(path string, cluster, user map[string]any) error {
	data, err := yaml.Marshal(map[string]any{
		"apiVersion":      "v1",
		"kind":            "Config",
		"current-context": "islet",
		"clusters":        []any{map[string]any{"name": "islet", "cluster": cluster}},
		"users":           []any{map[string]any{"name": "islet", "user": user}},
		"contexts":        []any{map[string]any{"name": "islet", "context": map[string]any{"cluster": "islet", "user": "islet"}}},
	})
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(path, data, 0o600)
}
