package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// pair is the same place in two environments of a tenant.
type pair struct{ left, right configPlace }

// pairs finds the environments' own layers, and those of the applications that either has.
func (s settings) pairs(ctx context.Context, left, right, app string) ([]pair, error) {
	apps := []string{app}
	if app == "" {
		for _, name := range []string{left, right} {
			var sets v1alpha1.ConfigSetList
			if err := s.client.List(ctx, &sets, client.InNamespace(name)); err != nil {
				return nil, explainAPI(err)
			}
			for _, set := range sets.Items {
				if set.Spec.Layer == v1alpha1.LayerApplication {
					apps = append(apps, set.Name)
				}
			}
		}
		slices.Sort(apps)
		apps = slices.Compact(apps)
	}
	var out []pair
	for _, app := range apps {
		l, err := s.find(ctx, left, layerFlags{app: app})
		if err != nil {
			return nil, err
		}
		r, err := s.find(ctx, right, layerFlags{app: app})
		if err != nil {
			return nil, err
		}
		if l.reader.Tenant != r.reader.Tenant || left == right {
			return nil, Exit(CodeUsage, fmt.Errorf("%s and %s must be two environments of one tenant", left, right))
		}
		out = append(out, pair{l, r})
	}
	return out, nil
}

// configDifference is the JSON form of a comparison.
type configDifference struct {
	Left  string          `json:"left"`
	Right string          `json:"right"`
	Keys  []configDiffRow `json:"keys"`
}

// configDiffRow is one key of it.
type configDiffRow struct {
	Application string         `json:"application,omitempty"`
	Key         string         `json:"key"`
	Changed     configset.Side `json:"changed"` // which side differs from the base where the sides differ: left, right or both; else same
	Base        *configValue   `json:"base,omitempty"`
	Left        *configValue   `json:"left,omitempty"`
	Right       *configValue   `json:"right,omitempty"`
}

func newConfigDiffCommand(env *Env) *cobra.Command {
	var app string
	var all bool
	cmd := &cobra.Command{
		Use: "diff ENVIRONMENT ENVIRONMENT", Short: "Compare what holds in two environments of a tenant", Args: cobra.ExactArgs(2), ValidArgsFunction: completeEnvironmentPair,
		Long: `Compares two environments three ways: what the tenant's base says, what holds left and what holds right, with the layer that each value
comes from and whether it is pinned. Secrets are compared by digests. Applications are compared by the keys of their own layers.`,
		Example: `  appliance config diff press-test press-prod
  appliance config diff press-test press-prod --app web --all
  appliance config diff press-test press-prod -o json | jq '.keys[] | select(.changed == "both").key'`,
	}
	cmd.Flags().StringVar(&app, "app", "", "compare this `APPLICATION` only")
	cmd.Flags().BoolVar(&all, "all", false, "also list what is alike")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSettings()
		if err != nil {
			return err
		}
		pairs, err := s.pairs(cmd.Context(), args[0], args[1], app)
		if err != nil {
			return err
		}
		view := compare(pairs, all)
		return env.Print(*format, view, func(w io.Writer) error { return view.print(w) })
	}
	return cmd
}

func compare(pairs []pair, all bool) configDifference {
	view := configDifference{Keys: []configDiffRow{}}
	for _, p := range pairs {
		view.Left, view.Right = p.left.name, p.right.name
		base := slices.Concat(p.left.before, configset.Layers{p.left.own})[0]
		rows, _ := p.left.reader.Diff(configset.Sides{Application: p.left.application(), Base: base, Left: p.left.layers(), Right: p.right.layers()})
		for _, r := range rows {
			if all || r.Changed != configset.SideNone {
				view.Keys = append(view.Keys, configDiffRow{p.left.application(), r.Key, r.Changed, side(r.Base), side(r.Left), side(r.Right)})
			}
		}
	}
	return view
}

func side(v *configset.Value) *configValue {
	if v == nil {
		return nil
	}
	view := viewValue(*v)
	return &view
}

func (d configDifference) print(out io.Writer) error {
	if len(d.Keys) == 0 {
		_, err := fmt.Fprintf(out, "%s and %s are alike\n", d.Left, d.Right)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "APPLICATION\tKEY\tBASE\t%s\t%s\tDIFFERS\n", strings.ToUpper(d.Left), strings.ToUpper(d.Right))
	for _, k := range d.Keys {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", k.Application, k.Key, cell(k.Base, false), cell(k.Left, true), cell(k.Right, true), k.differs(d))
	}
	return w.Flush()
}

// cell is a value with where it comes from.
func cell(v *configValue, from bool) string {
	if v == nil {
		return "-"
	}
	text := oneLine(shownValue(*v))
	if from {
		text += " [" + v.Layer
		if v.Pinned {
			text += ", pinned"
		}
		text += "]"
	}
	return text
}

func (k configDiffRow) differs(d configDifference) string {
	switch k.Changed {
	case configset.SideLeft:
		return d.Left
	case configset.SideRight:
		return d.Right
	}
	return string(k.Changed)
}

// configSyncReport is the JSON form of what a sync has done, or would do.
type configSyncReport struct {
	From      string           `json:"from"`
	To        string           `json:"to"`
	Plan      bool             `json:"plan"`      // nothing was written
	Conflicts int              `json:"conflicts"` // that nobody has decided on
	Problems  []string         `json:"problems,omitempty"`
	Steps     []configSyncStep `json:"steps"`
}

// configSyncStep is what is done about one key.
type configSyncStep struct {
	Application string         `json:"application,omitempty"`
	Key         string         `json:"key"`
	Do          configset.Deed `json:"do"` // set, unset, keep, pinned or conflict
	Why         string         `json:"why"`
	Left        *configValue   `json:"left,omitempty"`
	Right       *configValue   `json:"right,omitempty"`
}

type configSyncFlags struct {
	app, conflicts string
	keys           []string
	plan           *bool
	format         *Format
}

func newConfigSyncCommand(env *Env) *cobra.Command {
	f := new(configSyncFlags)
	cmd := &cobra.Command{
		Use: "sync FROM TO", Short: "Take over what another environment has changed", Args: cobra.ExactArgs(2), ValidArgsFunction: completeEnvironmentPair,
		Long: `Takes over into the environment TO what FROM has changed since the last sync between them, layer by layer. Pinned values stay where they
are. What TO alone has changed stays, too. A value that both have changed is a conflict: nothing at all is changed then, unless --conflicts
says what to do about it. What breaks a rule is refused as a whole. With --plan nothing is changed.`,
		Example: `  appliance config sync press-test press-prod --plan
  appliance config sync press-test press-prod --key LOG_LEVEL --key WORKERS
  appliance config sync press-test press-prod --conflicts skip`,
	}
	cmd.Flags().StringVar(&f.app, "app", "", "the layer of this `APPLICATION` only")
	cmd.Flags().StringVar(&f.conflicts, "conflicts", "", "what holds where both have changed a value: `left|right|skip`")
	cmd.Flags().StringArrayVar(&f.keys, "key", nil, "only this `KEY`; may be given several times")
	offer(cmd, "conflicts", string(configset.ChooseLeft), string(configset.ChooseRight), string(configset.ChooseSkip))
	f.plan, f.format = planFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		known := []configset.Choice{configset.ChooseNone, configset.ChooseLeft, configset.ChooseRight, configset.ChooseSkip}
		if !slices.Contains(known, configset.Choice(f.conflicts)) {
			return Exit(CodeUsage, fmt.Errorf("--conflicts %s: want left, right or skip", f.conflicts))
		}
		s, err := openSettings()
		if err != nil {
			return err
		}
		return s.sync(cmd.Context(), env, f, args[0], args[1])
	}
	return cmd
}

func (s settings) sync(ctx context.Context, env *Env, f *configSyncFlags, from, to string) error {
	pairs, err := s.pairs(ctx, from, to, f.app)
	if err != nil {
		return err
	}
	report, changed, problems, err := planSync(pairs, f)
	if err != nil {
		return err
	}
	refused := report.Conflicts > 0 && f.conflicts == ""
	for _, set := range changed {
		if *f.plan || refused || len(problems) > 0 {
			break
		}
		if err := s.save(ctx, set); err != nil {
			return err
		}
	}
	if *f.format == FormatJSON || len(problems) == 0 || *f.plan {
		if err := env.Print(*f.format, report, report.print); err != nil {
			return err
		}
	}
	if err := refuseProblems(problems); err != nil {
		return err
	}
	if refused {
		return Exit(CodeConflict, Advise(fmt.Errorf("%d values were changed in both environments since the last sync; nothing was changed", report.Conflicts),
			"say with --conflicts which side holds, or leave them out: --conflicts skip, or --key for those that are to be taken"))
	}
	return nil
}

// planSync works out what becomes of all layers, and which have to be written.
func planSync(pairs []pair, f *configSyncFlags) (report configSyncReport, changed []*v1alpha1.ConfigSet, problems []configset.Problem, err error) {
	report.Steps, report.Plan = []configSyncStep{}, *f.plan
	var environment *v1alpha1.ConfigSet // as it is to be: applications stand on it
	for _, p := range pairs {
		report.From, report.To = p.left.name, p.right.name
		if p.left.own.ResourceVersion == "" {
			continue // an application that is not configured there
		}
		plan, err := p.left.reader.Sync(configset.SyncRequest{
			From: p.left.name, Left: p.left.own, Right: p.right.own, Keys: f.keys, Choice: configset.Choice(f.conflicts),
		}, metav1.Now())
		if err != nil {
			return report, nil, nil, Exit(CodeRefused, err)
		}
		var keys []string
		for _, step := range plan.Steps {
			report.Steps = append(report.Steps, configSyncStep{p.left.application(), step.Key, step.Deed, step.Why, side(step.Left), side(step.Right)})
			if step.Deed == configset.DeedSet || step.Deed == configset.DeedUnset {
				keys = append(keys, step.Key)
			}
		}
		report.Conflicts += plan.Conflicts
		if !configset.Equal(p.right.own.Spec, plan.Spec) {
			p.right.own.Spec = plan.Spec
			changed = append(changed, p.right.own)
		}
		if p.right.own.Spec.Layer == v1alpha1.LayerEnvironment {
			environment = p.right.own
		} else if environment != nil {
			p.right.before[len(p.right.before)-1] = environment
		}
		wrong, _ := p.right.wrong(keys)
		problems = append(problems, wrong...)
	}
	report.Problems = problemTexts(problems)
	return report, changed, problems, nil
}

func (r configSyncReport) print(out io.Writer) error {
	if len(r.Steps) == 0 {
		_, err := fmt.Fprintf(out, "%s has all that %s has\n", r.To, r.From)
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "APPLICATION\tKEY\tDO\t%s\t%s\tWHY\n", strings.ToUpper(r.From), strings.ToUpper(r.To))
	for _, s := range r.Steps {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.Application, s.Key, s.Do, cell(s.Left, false), cell(s.Right, false), s.Why)
	}
	return w.Flush()
}

// completeEnvironmentPair offers environments for both arguments.
func completeEnvironmentPair(cmd *cobra.Command, args []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
	if len(args) > 1 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return completeEnvironments(cmd, nil, text)
}
