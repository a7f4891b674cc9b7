package cli

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"islet/appliance/kube/client"
	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// configValue is the JSON form of what holds for a key.
type configValue struct {
	Key    string              `json:"key"`
	Kind   v1alpha1.ConfigKind `json:"kind"`
	Value  *string             `json:"value,omitempty"` // but for secrets
	Digest string              `json:"digest"`          // equal values of a tenant have equal ones
	Layer  string              `json:"layer"`           // that it comes from
	Pinned bool                `json:"pinned"`
}

func viewValue(v configset.Value) configValue {
	out := configValue{Key: v.Key, Kind: v.Kind, Digest: v.Digest, Layer: strings.ToLower(string(v.Layer)), Pinned: v.Pinned}
	if v.Kind != v1alpha1.KindSecret {
		out.Value = &v.Text
	}
	return out
}

func newConfigGetCommand(env *Env) *cobra.Command {
	f := new(layerFlags)
	cmd := &cobra.Command{
		Use: "get ENVIRONMENT [KEY]", Short: "Show what holds, and which layer it comes from", Args: cobra.RangeArgs(1, 2), ValidArgsFunction: completeEnvironments,
		Long: `Shows the values that hold in an environment, or for an application there, with the layer that each comes from. With KEY it prints that
value alone. Secrets are shown by a digest: equal values of a tenant have the same, and nobody can try values without the site's key.`,
		Example: `  appliance config get press-prod
  appliance config get press-prod --app web DB_HOST
  appliance config get press --base -o json`,
	}
	f.add(cmd)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSettings()
		if err != nil {
			return err
		}
		p, err := s.find(cmd.Context(), args[0], *f)
		if err != nil {
			return err
		}
		values, problems := p.reader.Effective(p.layers())
		if p.own.Spec.Layer == v1alpha1.LayerBase {
			problems = configset.Own(problems)
		}
		for _, problem := range problems {
			fmt.Fprintln(env.Stdio.Err, "warning:", problem)
		}
		list := []configValue{}
		for _, v := range values {
			if len(args) == 1 || v.Key == args[1] {
				list = append(list, viewValue(v))
			}
		}
		if len(args) == 2 && len(list) == 0 {
			return Exit(CodeNoObject, fmt.Errorf("there is no %s in %s", args[1], p))
		}
		return env.Print(*format, list, func(w io.Writer) error {
			if len(args) == 2 {
				_, err := fmt.Fprintln(w, shownValue(list[0]))
				return err
			}
			return printValues(w, list)
		})
	}
	return cmd
}

func shownValue(v configValue) string {
	if v.Value == nil {
		return "(secret " + v.Digest + ")"
	}
	return *v.Value
}

func printValues(out io.Writer, list []configValue) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tVALUE\tFROM\tPINNED")
	for _, v := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Key, oneLine(shownValue(v)), v.Layer, pinnedMark(v.Pinned))
	}
	return w.Flush()
}

func pinnedMark(pinned bool) string {
	if pinned {
		return "pinned"
	}
	return ""
}

// oneLine is the begin of a text that may be a file.
func oneLine(text string) string {
	const most = 60
	line, rest, more := strings.Cut(text, "\n")
	if runes := []rune(line); len(runes) > most {
		line, more, rest = string(runes[:most]), true, "more"
	}
	if more && rest != "" {
		line += "..."
	}
	return line
}

// configLayer is the JSON form of a layer in a list.
type configLayer struct {
	Environment string `json:"environment,omitempty"`
	Tenant      string `json:"tenant,omitempty"`
	Application string `json:"application,omitempty"`
	Layer       string `json:"layer"`
	Entries     int    `json:"entries"` // of its own
	Revision    string `json:"revision,omitempty"`
	Ready       bool   `json:"ready"`
	Why         string `json:"why,omitempty"` // it is not ready
}

func newConfigListCommand(env *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list [ENVIRONMENT]", Short: "List the layers, and what is wrong with them", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long:    "Lists the layers of an environment, or all, with the revision that holds in each. One that is NOT READY has its last good revision.",
		Example: "  appliance config list\n  appliance config list press-prod -o json",
	}
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := openPlatform()
		if err != nil {
			return err
		}
		var options []client.ListOption
		if len(args) > 0 {
			options = append(options, client.InNamespace(args[0]))
		}
		var sets v1alpha1.ConfigSetList
		if err := c.List(cmd.Context(), &sets, options...); err != nil {
			return explainAPI(err)
		}
		list := []configLayer{}
		for _, set := range sets.Items {
			list = append(list, viewLayer(set))
		}
		return env.Print(*format, list, func(w io.Writer) error { return printLayers(w, list) })
	}
	return cmd
}

func viewLayer(set v1alpha1.ConfigSet) configLayer {
	ready, why := readiness(set.Status.Conditions)
	v := configLayer{Environment: set.Namespace, Layer: strings.ToLower(string(set.Spec.Layer)), Entries: len(set.Spec.Entries), Revision: set.Status.Revision, Ready: ready, Why: why}
	switch set.Spec.Layer {
	case v1alpha1.LayerBase:
		v.Environment, v.Tenant = "", set.Name
	case v1alpha1.LayerApplication:
		v.Application = set.Name
	}
	return v
}

func printLayers(out io.Writer, list []configLayer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "OF\tAPPLICATION\tLAYER\tENTRIES\tREVISION\tSTATE")
	for _, l := range list {
		fmt.Fprintf(w, "%s%s\t%s\t%s\t%d\t%s\t%s\n", l.Environment, l.Tenant, l.Application, l.Layer, l.Entries, l.Revision, stateOf(l.Ready, l.Why))
	}
	return w.Flush()
}

func newConfigHistoryCommand(env *Env) *cobra.Command {
	f := new(layerFlags)
	cmd := &cobra.Command{
		Use: "history ENVIRONMENT", Short: "List the revisions, and which keys each has changed", Args: cobra.ExactArgs(1), ValidArgsFunction: completeEnvironments,
		Long: `Lists the last revisions that held, the newest first. A revision is a name for values: what runs refers to one. Who has changed what is in
the audit log: ` + "`appliance audit list`" + `.`,
		Example: "  appliance config history press-prod\n  appliance config history press-prod --app web -o json",
	}
	f.add(cmd)
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSettings()
		if err != nil {
			return err
		}
		p, err := s.find(cmd.Context(), args[0], *f)
		if err != nil {
			return err
		}
		list := append([]v1alpha1.ConfigRevision{}, p.own.Status.History...)
		return env.Print(*format, list, func(out io.Writer) error {
			w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
			fmt.Fprintln(w, "REVISION\tSINCE\tCHANGED")
			for _, r := range list {
				fmt.Fprintf(w, "%s\t%s\t%s\n", r.Revision, r.At.Local().Format(time.DateTime), strings.Join(r.Changed, ", "))
			}
			return w.Flush()
		})
	}
	return cmd
}
