package paas

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"

	"islet/appliance/atomicfile"
	"islet/appliance/kube"
	"islet/appliance/kubeconfig"
	"islet/appliance/paas/configset"
)

// Main is the program tenancy, which is in the kube engine: there are all kinds of the API anyway, which the controllers'
// library links.
//
//	tenancy --server URL --ca FILE --cert FILE --key FILE --domain DOMAIN --site-secret FILE --ready FILE [--lease NAME --identity NODE]
//
// The file appears when the controllers know what there is. With a lease they run while it is held here, and the file appears also
// when they run elsewhere.
func Main(ctx context.Context, args []string, log io.Writer) error {
	var access kubeconfig.Access
	var domain, secretFile, ready, lease, identity string
	flags := flag.NewFlagSet("tenancy", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // the error says it all
	flags.StringVar(&access.Server, "server", "", "URL of the Kubernetes API")
	flags.StringVar(&access.CAFile, "ca", "", "file with its authority")
	flags.StringVar(&access.CertFile, "cert", "", "file with the certificate to show")
	flags.StringVar(&access.KeyFile, "key", "", "file with its key")
	flags.StringVar(&domain, "domain", "", "domain of applications")
	flags.StringVar(&secretFile, "site-secret", "", "file with the secret that the site's keys are derived from")
	flags.StringVar(&ready, "ready", "", "file that appears")
	flags.StringVar(&lease, "lease", "", "name of the lease")
	flags.StringVar(&identity, "identity", "", "name of this node, for the lease")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if access.Server == "" || ready == "" || secretFile == "" || (lease == "") != (identity == "") {
		return errors.New("--server, --site-secret and --ready are needed, and --lease with --identity")
	}
	secret, err := os.ReadFile(secretFile)
	if err != nil {
		return err
	}
	keys, err := configset.NewKeys(secret)
	if err != nil {
		return err
	}
	tell := func() {
		if err := atomicfile.Write(ready, nil, 0o600); err != nil {
			fmt.Fprintln(os.Stderr, "tenancy:", err)
		}
	}
	config := kube.Config(access)
	run := func(ctx context.Context) error {
		return Run(ctx, config, domain, keys, slog.New(slog.NewTextHandler(log, nil)), tell)
	}
	if lease == "" {
		return run(ctx)
	}
	c, err := kube.NewClient(config)
	if err != nil {
		return err
	}
	return kube.Lead(ctx, c, lease, identity, run, tell)
}
