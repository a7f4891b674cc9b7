package cli

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"islet/appliance/kube/client"
	"islet/appliance/paas/v1alpha1"
)

// applyOwner owns the fields that a file says.
const applyOwner = "appliance"

// waitFlag lets a command wait for what it began.
func waitFlag(cmd *cobra.Command) *time.Duration {
	return cmd.Flags().Duration("wait", 0, "`TIME` to wait until it is so (default: do not wait)")
}

func newAppApplyCommand(env *Env) *cobra.Command {
	var file, environment string
	cmd := &cobra.Command{
		Use: "apply -f FILE", Short: "Make or change applications from a file", Args: cobra.NoArgs,
		Long: `Makes the applications of a file, or changes them to what it says; - reads standard input. What somebody else has set and the file
does not name stays. The file is YAML or JSON, one document for each application; a field that is not known is refused. An application in
an environment that asks for approvals is changed by a release order instead.`,
		Example: `  appliance app apply -f hello.yaml --wait 2m
  appliance app apply -f hello.yaml --env press-dev`,
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "`FILE` with the applications")
	cmd.Flags().StringVar(&environment, "env", "", "`TENANT-NAME` of the environment, for documents that name none")
	wait := waitFlag(cmd)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if file == "" {
			return Exit(CodeUsage, errors.New("which file? give -f FILE, or -f - for standard input"))
		}
		documents, err := readApps(env, file, environment)
		if err != nil {
			return err
		}
		list, err := applyApps(cmd.Context(), documents, *wait)
		if err != nil {
			return err
		}
		return env.Print(*format, list, func(w io.Writer) error { return printApps(w, list) })
	}
	return cmd
}

// appDocument is an application of a file: what it is called, and the document itself, which says no more than its author did.
type appDocument struct {
	app v1alpha1.Application
	raw []byte
}

func readApps(env *Env, file, environment string) ([]appDocument, error) {
	in := env.Stdio.In
	if file != "-" {
		opened, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer opened.Close()
		in = opened
	}
	var out []appDocument
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(io.LimitReader(in, maxAppFile))); ; {
		raw, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", file, err)
		}
		if len(bytes.TrimSpace(raw)) == 0 {
			continue
		}
		d, err := readApp(raw, environment)
		if err != nil {
			return nil, Exit(CodeConfig, fmt.Errorf("%s: %w", file, err))
		}
		out = append(out, d)
	}
	if len(out) == 0 {
		return nil, Exit(CodeConfig, fmt.Errorf("%s: there is no application in it", file))
	}
	return out, nil
}

// maxAppFile is the largest file that is read, in bytes.
const maxAppFile = 4 << 20

func readApp(raw []byte, environment string) (appDocument, error) {
	var d appDocument
	if err := yaml.UnmarshalStrict(raw, &d.app); err != nil {
		return d, Advise(err, "the fields are those of `appliance kubectl explain app.spec`")
	}
	want := v1alpha1.GroupVersion.String()
	if d.app.APIVersion != want || d.app.Kind != "Application" {
		return d, fmt.Errorf("%q of %q is no application: want apiVersion: %s, kind: Application", d.app.Kind, d.app.APIVersion, want)
	}
	var fields map[string]any
	if err := yaml.Unmarshal(raw, &fields); err != nil {
		return d, err
	}
	if d.app.Namespace == "" {
		if environment == "" {
			return d, fmt.Errorf("application %s: in which environment? give metadata.namespace or --env", d.app.Name)
		}
		d.app.Namespace = environment
		metadata, _ := fields["metadata"].(map[string]any)
		metadata["namespace"] = environment
	}
	delete(fields, "status")
	var err error
	d.raw, err = yaml.Marshal(fields)
	return d, err
}

func applyApps(ctx context.Context, documents []appDocument, wait time.Duration) ([]appView, error) {
	c, err := openPlatform()
	if err != nil {
		return nil, err
	}
	list := []appView{}
	for _, d := range documents {
		if err := c.Get(ctx, client.ObjectKey{Name: d.app.Namespace}, &v1alpha1.Environment{}); err != nil {
			return nil, explainAPI(err)
		}
		a := d.app
		if err := c.Patch(ctx, &a, client.Patch{Type: types.ApplyYAMLPatchType, Data: d.raw, Owner: applyOwner}); err != nil {
			return nil, explainAPI(err)
		}
		list = append(list, viewApp(a))
	}
	for i, d := range documents {
		if wait == 0 {
			break
		}
		if list[i], err = waitApp(ctx, c, client.ObjectKeyFromObject(&d.app), wait, v1alpha1.StateReady); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// waitApp waits until an application is in a state. A cause that waiting does not cure ends it sooner.
func waitApp(ctx context.Context, c client.Client, key client.ObjectKey, wait time.Duration, want v1alpha1.State) (appView, error) {
	deadline := time.Now().Add(wait)
	tick := time.NewTicker(waitInterval)
	defer tick.Stop()
	for {
		var a v1alpha1.Application
		if err := c.Get(ctx, key, &a); err != nil {
			return appView{}, explainAPI(err)
		}
		v := viewApp(a)
		switch {
		case v.State == want:
			return v, nil
		case v.State == v1alpha1.StateDegraded && want == v1alpha1.StateReady:
			return v, Exit(CodeUnhealthy, Advise(fmt.Errorf("%s in %s is degraded: %s", key.Name, key.Namespace, v.Message), "see `appliance app logs "+key.Namespace+" "+key.Name+"`"))
		case time.Now().After(deadline):
			return v, Exit(CodeTimeout, fmt.Errorf("%s in %s is not %s after %s: it is %s: %s", key.Name, key.Namespace, want, wait, v.State, v.Message))
		}
		select {
		case <-ctx.Done():
			return v, ctx.Err()
		case <-tick.C:
		}
	}
}
