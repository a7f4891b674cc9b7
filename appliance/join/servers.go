package join

import (
	"encoding/json"
	"fmt"
	"os"

	"islet/appliance/atomicfile"
)

// ReadServers reads what WriteServers wrote.
func ReadServers(path string) (Servers, error) {
	var s Servers
	data, err := os.ReadFile(path)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, fmt.Errorf("%s is damaged; write it again with the addresses of the servers: %w", path, err)
	}
	return s, nil
}

// WriteServers keeps the servers of the site on a node: they must be known when none of them can be asked. An empty list
// is never written over another.
func WriteServers(path string, s Servers) error {
	if len(s.API) == 0 || len(s.Node) == 0 {
		return fmt.Errorf("%s: refused to forget all servers of the site", path)
	}
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(path, append(data, '\n'), 0o600)
}
