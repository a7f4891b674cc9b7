package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/layout"
)

// installed is the node that this machine is set up as: its configuration and its paths.
func installed() (config.Config, layout.Layout, error) {
	path := layout.Default().Config()
	c, err := loadConfig(path)
	if errors.Is(err, fs.ErrNotExist) {
		err = Exit(CodeNotInstalled, Advise(errors.New("this machine is not a node: it has no "+path), "set it up with `appliance install`"))
	}
	return c, c.Layout(filepath.Dir(path)), err
}

// daemon is a client of this machine's node daemon.
func daemon() (*api.Client, error) {
	_, l, err := installed()
	if err != nil {
		return nil, err
	}
	return api.NewClient(l.APISocket()), nil
}

// daemonOf is a client for what a node tells of itself: this one, or with a name another of the site, by way of this server.
func daemonOf(node string) (*api.Client, error) {
	client, err := daemon()
	if err == nil && node != "" {
		client = client.At(node)
	}
	return client, err
}

// nodeFlag names the node that a command is about.
func nodeFlag(cmd *cobra.Command, node *string) {
	cmd.Flags().StringVar(node, "node", "", "`NAME` of another node of the site, asked by way of this server (default: this node)")
	_ = cmd.RegisterFlagCompletionFunc("node", completeNodes)
}

// explainDaemon tells an operator how to get a silent daemon back.
func explainDaemon(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return Exit(CodeNotRoot, Advise(err, "run it as root, or with sudo"))
	case errors.Is(err, api.ErrUnreachable):
		return Exit(CodeNoDaemon, Advise(err, "start it with `systemctl start appliance`, or `appliance server` in the foreground"))
	}
	return err
}

// engineProgram is the path of a staged program; before the first start there is none.
func engineProgram(l layout.Layout, name string) (string, error) {
	path := filepath.Join(l.Bin(), name)
	if _, err := os.Stat(path); err != nil {
		return "", Exit(CodeNotInstalled, Advise(err, "the engines are put in place when `appliance server` first starts"))
	}
	return path, nil
}
