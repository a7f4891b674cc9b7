package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// config is what the server is told by its flags and environment.
type config struct {
	listen     string
	settings   string        // directory of a mounted ConfigMap; may be missing
	data       string        // directory for /files; empty: none
	drain      time.Duration // from "not ready" to the end of new connections
	grace      time.Duration // for requests that run at the end
	crashAfter time.Duration // 0: never

	version, colour          string
	pod, namespace, node, ip string
	environment              map[string]string // HELLO_* as given
}

// prefix marks the environment variables that are the application's own configuration; only these are shown.
const prefix = "HELLO_"

// parseConfig reads flags and environment (as of os.Environ). A flag's default is the variable HELLO_<FLAG>.
func parseConfig(args, environ []string, stderr io.Writer) (config, error) {
	env := map[string]string{}
	c := config{environment: map[string]string{}}
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		env[name] = value
		if strings.HasPrefix(name, prefix) {
			c.environment[name] = value
		}
	}
	c.version, c.colour = or(env["HELLO_VERSION"], "dev"), or(env["HELLO_COLOUR"], "#4a6fa5")
	c.pod, c.namespace, c.node, c.ip = env["POD_NAME"], env["POD_NAMESPACE"], env["NODE_NAME"], env["POD_IP"]

	flags := flag.NewFlagSet("hello", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&c.listen, "listen", ":8080", "`address` to listen on")
	flags.StringVar(&c.settings, "config", "/etc/hello", "`directory` of a mounted ConfigMap; its files are shown")
	flags.StringVar(&c.data, "data", "", "`directory` that /files/NAME reads and writes (default: none)")
	flags.DurationVar(&c.drain, "drain", 5*time.Second, "how long to answer as not ready before closing the door")
	flags.DurationVar(&c.grace, "grace", 20*time.Second, "how long running requests may take at the end")
	flags.DurationVar(&c.crashAfter, "crash-after", 0, "exit with an error after this time (default: never)")
	var problems []error
	flags.VisitAll(func(f *flag.Flag) {
		name := prefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if value, ok := env[name]; ok {
			if err := f.Value.Set(value); err != nil {
				problems = append(problems, fmt.Errorf("%s=%q: %w", name, value, err))
			}
		}
	})
	return c, errors.Join(append(problems, flags.Parse(args))...)
}

func or(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}

// readSettings reads the files of a mounted ConfigMap, each time anew: the kubelet swaps them while the pod runs.
// A missing directory holds none.
func readSettings(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	settings := map[string]string{}
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), "..") { // the kubelet's own links
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, entry.Name()))
		if err != nil {
			return nil, err
		}
		settings[entry.Name()] = string(content)
	}
	return settings, nil
}
