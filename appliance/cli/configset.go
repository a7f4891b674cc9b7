package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"islet/appliance/kube/client"
	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
	"islet/appliance/pki"
)

// settings is a server's access to the configuration of environments.
type settings struct {
	client client.Client
	keys   configset.Keys
}

func openSettings() (settings, error) {
	site, err := openCluster()
	if err != nil {
		return settings{}, err
	}
	keys, err := siteKeys(site.pki)
	return settings{site.client, keys}, err
}

func siteKeys(store *pki.Store) (configset.Keys, error) {
	secret, err := store.Secret(pki.EncryptionSecret, pki.EncryptionBytes)
	if err != nil {
		return configset.Keys{}, err
	}
	return configset.NewKeys(secret)
}

// layerFlags say which layer is meant.
type layerFlags struct {
	app  string
	base bool
}

func (f *layerFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.app, "app", "", "the layer of this `APPLICATION` instead of the environment's own")
	cmd.Flags().BoolVar(&f.base, "base", false, "the base of a tenant, which is named instead of an environment")
	cmd.MarkFlagsMutuallyExclusive("app", "base")
}

// configPlace is a layer with those before it.
type configPlace struct {
	reader configset.Reader
	name   string // the environment's, or the tenant's
	before configset.Layers
	own    *v1alpha1.ConfigSet // without a version if it is not there yet
}

func (p configPlace) layers() configset.Layers { return append(slices.Clone(p.before), p.own) }

// String names the layer for people.
func (p configPlace) String() string {
	switch p.own.Spec.Layer {
	case v1alpha1.LayerBase:
		return "the base of " + p.name
	case v1alpha1.LayerApplication:
		return p.own.Name + " in " + p.name
	}
	return p.name
}

func (p configPlace) application() string {
	if p.own.Spec.Layer == v1alpha1.LayerApplication {
		return p.own.Name
	}
	return ""
}

// find reads a layer and those before it.
func (s settings) find(ctx context.Context, name string, f layerFlags) (configPlace, error) {
	tenant := name
	if !f.base {
		var e v1alpha1.Environment
		if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &e); err != nil {
			return configPlace{}, explainAPI(err)
		}
		tenant = e.Spec.Tenant
	} else if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &v1alpha1.Tenant{}); err != nil {
		return configPlace{}, explainAPI(err)
	}
	p := configPlace{reader: configset.Reader{Keys: s.keys, Tenant: tenant}, name: name}
	var err error
	if p.own, err = s.layer(ctx, v1alpha1.BaseNamespace, tenant, v1alpha1.LayerBase); err != nil || f.base {
		return p, err
	}
	p.before = configset.Layers{p.own}
	if p.own, err = s.layer(ctx, name, v1alpha1.EnvironmentLayerName, v1alpha1.LayerEnvironment); err != nil || f.app == "" {
		return p, err
	}
	p.before = append(p.before, p.own)
	p.own, err = s.layer(ctx, name, f.app, v1alpha1.LayerApplication)
	return p, err
}

// layer reads one, or describes one that is not there yet.
func (s settings) layer(ctx context.Context, namespace, name string, layer v1alpha1.ConfigLayer) (*v1alpha1.ConfigSet, error) {
	set := new(v1alpha1.ConfigSet)
	err := s.client.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, set)
	if apierrors.IsNotFound(err) {
		set = &v1alpha1.ConfigSet{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}, Spec: v1alpha1.ConfigSetSpec{Layer: layer}}
		err = nil
	}
	return set, explainAPI(err)
}

// save writes a layer that nobody else has changed meanwhile.
func (s settings) save(ctx context.Context, set *v1alpha1.ConfigSet) error {
	err := error(nil)
	if set.ResourceVersion == "" {
		err = s.client.Create(ctx, set)
	} else {
		err = s.client.Update(ctx, set)
	}
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		return Exit(CodeConflict, Advise(fmt.Errorf("%s/%s was changed by somebody else at the same time: %w", set.Namespace, set.Name, err), "look at it, and run the command again"))
	}
	return explainAPI(err)
}

// wrong is what a change of these keys breaks; warnings is what else is wrong.
func (p configPlace) wrong(keys []string) (refused, warnings []configset.Problem) {
	_, problems := p.reader.Effective(p.layers())
	if p.own.Spec.Layer == v1alpha1.LayerBase {
		problems = configset.Own(problems)
	}
	for _, problem := range problems {
		if slices.Contains(keys, problem.Key) {
			refused = append(refused, problem)
		} else {
			warnings = append(warnings, problem)
		}
	}
	return refused, warnings
}

func problemTexts(problems []configset.Problem) []string {
	var out []string
	for _, p := range problems {
		out = append(out, p.String())
	}
	return out
}

// refuseProblems gives what rules do not allow its exit code.
func refuseProblems(problems []configset.Problem) error {
	if len(problems) == 0 {
		return nil
	}
	return Exit(CodeRefused, Advise(fmt.Errorf("%s", strings.Join(problemTexts(problems), "\n")), "correct that and run it again; nothing was changed"))
}

// configChange is the JSON form of what was changed in a layer, or would be.
type configChange struct {
	Environment string   `json:"environment,omitempty"`
	Tenant      string   `json:"tenant"`
	Application string   `json:"application,omitempty"`
	Layer       string   `json:"layer"`
	Changed     []string `json:"changed"` // keys
	Warnings    []string `json:"warnings,omitempty"`
	Plan        bool     `json:"plan"` // nothing was written
}

// change edits a layer, checks what comes of it, and writes it unless it is only a plan. edit returns the keys that it has changed.
func (s settings) change(ctx context.Context, env *Env, format Format, p configPlace, plan bool, edit func(*v1alpha1.ConfigSetSpec) ([]string, error)) error {
	keys, err := edit(&p.own.Spec)
	if err != nil {
		return err
	}
	refused, warnings := p.wrong(keys)
	if err := refuseProblems(refused); err != nil {
		return err
	}
	if !plan && len(keys) > 0 {
		if err := s.save(ctx, p.own); err != nil {
			return err
		}
	}
	view := configChange{Tenant: p.reader.Tenant, Application: p.application(), Layer: strings.ToLower(string(p.own.Spec.Layer)), Changed: append([]string{}, keys...), Warnings: problemTexts(warnings), Plan: plan}
	if p.own.Spec.Layer != v1alpha1.LayerBase {
		view.Environment = p.name
	}
	return env.Print(format, view, func(w io.Writer) error {
		for _, warning := range view.Warnings {
			fmt.Fprintln(env.Stdio.Err, "warning:", warning)
		}
		did := "changed"
		if plan {
			did = "would change"
		}
		if len(keys) == 0 {
			_, err := fmt.Fprintf(w, "nothing to change in %s\n", p)
			return err
		}
		_, err := fmt.Fprintf(w, "%s in %s: %s\n", did, p, strings.Join(keys, ", "))
		return err
	})
}

// planFlag adds the flag with which nothing is changed.
func planFlag(cmd *cobra.Command) *bool {
	return cmd.Flags().Bool("plan", false, "show what it would do, and change nothing")
}
