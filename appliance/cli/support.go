package cli

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/config"
	"islet/appliance/controlplane"
	"islet/appliance/layout"
	"islet/appliance/redact"
	"islet/appliance/support"
)

type supportFlags struct {
	out          string
	maxSize      config.Size
	since        time.Duration
	applications bool
	format       *Format
}

// supportReport is the JSON form of a support bundle that was written.
type supportReport struct {
	File     string           `json:"file"`
	Manifest support.Manifest `json:"manifest"`
}

func newSupportBundleCommand(env *Env) *cobra.Command {
	f := &supportFlags{maxSize: 200 << 20}
	cmd := &cobra.Command{
		Use: "support-bundle", GroupID: groupLook, Short: "Collect what somebody far away needs to help, without secrets", Args: cobra.NoArgs,
		Long: `Writes one file, a tar.gz, with what tells of this node's trouble: facts about the machine, its network and
disk, the configuration, versions, status and events of the components, what ` + "`appliance doctor`" + ` finds, logs, the journal
and the kernel's messages, and the objects of Kubernetes if its API answers. What is down is left out and named.

Keys, tokens, passwords, kubeconfigs and the values of environment variables are taken out; Kubernetes' secrets and
what ConfigMaps hold are not collected at all. Logs of applications are left out unless --application-logs is given.

With --max-size the oldest and biggest logs are cut or left out first. manifest.json, in the file, lists what is in it and
what is not. Run it on each node in question: it holds the logs of this one only.`,
		Example: `  appliance support-bundle
  appliance support-bundle --out /media/usb/press1.tar.gz --max-size 20Mi
  appliance support-bundle --since 2h -o json | jq .manifest.leftOut`,
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "`FILE` to write (default: support-NODE-TIME.tar.gz here)")
	flags.TextVar(&f.maxSize, "max-size", f.maxSize, "largest `SIZE` of the file, such as 200Mi")
	flags.DurationVar(&f.since, "since", 24*time.Hour, "leave out logs that were last written to longer ago than this `long`")
	flags.BoolVar(&f.applications, "application-logs", false, "also collect the logs of applications, not only those of the platform")
	f.format = AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), env) }
	return cmd
}

func (f *supportFlags) run(ctx context.Context, env *Env) error {
	if err := requireRoot("read logs and configuration"); err != nil {
		return err
	}
	if int64(f.maxSize) < support.LeastBytes || f.since <= 0 {
		return Exit(CodeUsage, fmt.Errorf("--max-size %s, --since %s: want 1Mi or more, and a time above zero", f.maxSize, f.since))
	}
	c, l, err := installed() // one that cannot be read is collected as it is
	if err != nil && CodeOf(err) == CodeNotInstalled {
		l = layout.Default()
	}
	now := time.Now()
	name := "support-" + supportName(c) + "-" + now.UTC().Format("20060102T150405Z")
	if f.out == "" {
		f.out = name + ".tar.gz"
	}
	manifest, err := support.Write(ctx, support.Options{
		Out: f.out, Name: name, MaxBytes: int64(f.maxSize), Now: now, Redactor: redact.New(support.Secrets(l)),
		Sources: f.sources(env, c, l, now), Logs: f.logs(l, now),
		Notes: []string{
			"other nodes: their state as they last reported it is in node/site.json on a server; for their logs run appliance support-bundle there",
			"secrets were replaced by " + redact.Mark,
		},
		Told: func(name string) { env.Logger().Debug("collect", "file", name) },
	})
	if err != nil {
		return err
	}
	return env.Print(*f.format, supportReport{f.out, manifest}, func(w io.Writer) error { return printSupport(w, f.out, manifest) })
}

// supportName is the node's name as far as it can be known.
func supportName(c config.Config) string {
	if c.Node.Name != "" {
		return c.Node.Name
	}
	name, err := os.Hostname()
	if err != nil || name == "" {
		return "node"
	}
	return name
}

func (f *supportFlags) sources(env *Env, c config.Config, l layout.Layout, now time.Time) []support.Source {
	client := api.NewClient(l.APISocket())
	sources := []support.Source{
		support.JSON("versions.json", func(context.Context) (any, error) { return versions(env) }),
		support.JSON("doctor.json", func(ctx context.Context) (any, error) { return examine(ctx, env, c, l), nil }),
	}
	sources = append(sources, support.Host(l, "/", now.Add(-f.since))...)
	sources = append(sources,
		support.JSON("node/status.json", func(ctx context.Context) (any, error) { return client.Status(ctx) }),
		support.JSON("node/events.json", func(ctx context.Context) (any, error) { return client.Events(ctx) }),
		support.JSON("node/site.json", func(ctx context.Context) (any, error) { return client.Site(ctx) }),
	)
	if c.Node.Role == config.RoleServer && c.Datastore.Store.Several() {
		sources = append(sources, support.JSON("node/datastore.json", func(ctx context.Context) (any, error) {
			store, err := openStore(ctx)
			if err != nil {
				return nil, err
			}
			if store.External != nil {
				return store.Database(ctx)
			}
			members, err := store.Members(ctx)
			return reportOf(members), err
		}))
	}
	if program, err := engineProgram(l, "kubectl"); err == nil {
		sources = append(sources, support.Kubernetes(kubectlOf(c, l, program))...)
	}
	return sources
}

// kubectlOf reads as the site's administrator on a server, and as the kubelet on an agent, which sees its own pods.
func kubectlOf(c config.Config, l layout.Layout, program string) support.Kubectl {
	k := support.Kubectl{Program: program, Environ: []string{"KUBECONFIG=" + l.AdminKubeconfig(), "KUBECACHEDIR=" + filepath.Join(l.Tmp(), "kubectl")}}
	switch {
	case c.Node.Role != config.RoleServer:
		k.Environ[0] = "KUBECONFIG=" + filepath.Join(l.Kubeconfigs(), "kubelet.kubeconfig")
	case c.Datastore.Store.Several(): // any server's API will do
		k.Args = []string{fmt.Sprintf("--server=https://127.0.0.1:%d", controlplane.BalancerPort)}
	}
	return k
}

func versions(env *Env) (any, error) {
	report := versionReport{Info: env.Build}
	r, err := env.PeekBundle("")
	if err != nil {
		return report, err
	}
	defer r.Close()
	report.Bundle = summarize(r)
	return report, nil
}

// logs are those of the components, and of the platform's pods.
func (f *supportFlags) logs(l layout.Layout, now time.Time) []support.Log {
	platform := []string{"kube-system", "islet-system"}
	return support.FindLogs(l.Logs(), "logs", now.Add(-f.since), func(path string) bool {
		below, found := strings.CutPrefix(path, "pods/")
		namespace, _, _ := strings.Cut(below, "_")
		return !found || f.applications || slices.Contains(platform, namespace)
	})
}

func printSupport(w io.Writer, file string, m support.Manifest) error {
	redacted := 0
	var b strings.Builder
	for _, f := range m.Files {
		redacted += f.Redacted
		if f.Cut != "" {
			fmt.Fprintf(&b, "cut       %s: %s\n", f.Name, f.Cut)
		}
	}
	for _, o := range m.LeftOut {
		fmt.Fprintf(&b, "left out  %s: %.200s\n", o.Name, strings.ReplaceAll(o.Reason, "\n", " "))
	}
	fmt.Fprintf(&b, "%s: %d files in %.1f MiB; secrets were taken out of %d lines. Look through it before you hand it on.\n", file, len(m.Files), float64(m.Bytes)/(1<<20), redacted)
	_, err := io.WriteString(w, b.String())
	return err
}
