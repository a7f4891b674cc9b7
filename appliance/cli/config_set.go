package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"islet/appliance/paas/configset"
	"islet/appliance/paas/v1alpha1"
)

// largestValue bounds what is read of a file with a value.
const largestValue = 256 << 10

type configSetFlags struct {
	layerFlags
	secrets, files, sealed []string
	pin                    bool
}

func newConfigSetCommand(env *Env) *cobra.Command {
	f := new(configSetFlags)
	cmd := &cobra.Command{
		Use: "set ENVIRONMENT [KEY=VALUE...]", Short: "Set variables, secrets and files", Args: cobra.MinimumNArgs(1), ValidArgsFunction: completeEnvironments,
		Long: `Sets values in a layer. What breaks a rule is refused, and nothing is changed then. A secret is never taken from the command line,
which everybody on the machine can see: it is read from a file, or from standard input, without the line break at its end. A value that was
pinned stays pinned. What runs gets the new values with its next release order, or when it is restarted.`,
		Example: `  appliance config set press-dev LOG_LEVEL=debug WORKERS=4
  appliance config set press-prod --app web --secret DB_PASSWORD=-
  appliance config set press-prod --pin DB_HOST=10.0.7.3
  appliance config set press --base --file nginx.conf=./nginx.conf`,
	}
	f.add(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.secrets, "secret", nil, "set a secret from `KEY=FILE`; - is standard input")
	flags.StringArrayVar(&f.files, "file", nil, "set a file from `KEY=FILE`")
	flags.StringArrayVar(&f.sealed, "sealed", nil, "set a secret from `KEY=FILE` that `appliance config seal` has made")
	flags.BoolVar(&f.pin, "pin", false, "also keep `config sync` away from these values")
	plan, format := planFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSettings()
		if err != nil {
			return err
		}
		p, err := s.find(cmd.Context(), args[0], f.layerFlags)
		if err != nil {
			return err
		}
		entries, err := f.entries(env, args[1:], p.reader)
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), env, *format, p, *plan, func(spec *v1alpha1.ConfigSetSpec) ([]string, error) {
			return putEntries(p.reader, spec, entries)
		})
	}
	return cmd
}

// entries are what the arguments and flags say.
func (f *configSetFlags) entries(env *Env, words []string, r configset.Reader) ([]v1alpha1.ConfigEntry, error) {
	var out []v1alpha1.ConfigEntry
	add := func(flag string, texts []string, make func(key, value string) (v1alpha1.ConfigEntry, error)) error {
		for _, text := range texts {
			key, value, ok := strings.Cut(text, "=")
			if !ok || key == "" {
				return Exit(CodeUsage, fmt.Errorf("%s: want KEY=VALUE%s", text, flag))
			}
			e, err := make(key, value)
			if err != nil {
				return err
			}
			e.Key, e.Pinned = key, f.pin
			out = append(out, e)
		}
		return nil
	}
	err := errors.Join(
		add(", such as LOG_LEVEL=debug", words, func(_, value string) (v1alpha1.ConfigEntry, error) {
			return v1alpha1.ConfigEntry{Kind: v1alpha1.KindPlain, Value: &value}, nil
		}),
		add(" with a file as the value", f.files, func(_, file string) (v1alpha1.ConfigEntry, error) {
			text, err := readValue(env, file)
			return v1alpha1.ConfigEntry{Kind: v1alpha1.KindFile, Value: &text}, err
		}),
		add(" with a file as the value", f.sealed, func(_, file string) (v1alpha1.ConfigEntry, error) {
			text, err := readValue(env, file)
			return v1alpha1.ConfigEntry{Kind: v1alpha1.KindSecret, Sealed: &text}, err
		}),
		add(" with a file as the value, - for standard input", f.secrets, func(key, file string) (v1alpha1.ConfigEntry, error) {
			text, err := readValue(env, file)
			if err != nil {
				return v1alpha1.ConfigEntry{}, err
			}
			sealed, err := r.Keys.SiteKey().Seal(r.Tenant, key, strings.TrimSuffix(text, "\n"))
			return v1alpha1.ConfigEntry{Kind: v1alpha1.KindSecret, Sealed: &sealed}, err
		}))
	if err == nil && len(out) == 0 {
		err = Exit(CodeUsage, errors.New("nothing is to be set: give KEY=VALUE, --secret, --file or --sealed"))
	}
	return out, err
}

// readValue reads a file, or standard input.
func readValue(env *Env, file string) (string, error) {
	in := env.Stdio.In
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return "", err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, largestValue+1))
	if err == nil && len(raw) > largestValue {
		err = Exit(CodeRefused, fmt.Errorf("%s is larger than %d KiB", file, largestValue>>10))
	}
	return string(raw), err
}

// putEntries puts entries into a layer and returns the keys that were something else before.
func putEntries(r configset.Reader, spec *v1alpha1.ConfigSetSpec, entries []v1alpha1.ConfigEntry) ([]string, error) {
	var keys []string
	for _, e := range entries {
		before, _ := r.Value(spec.Layer, spec.Entry(e.Key)) // one that cannot be read is another
		after, err := r.Value(spec.Layer, &e)
		if err != nil {
			return nil, Exit(CodeRefused, Advise(fmt.Errorf("%s: %w", e.Key, err), "a sealed value is good for one key of one tenant of one site: `appliance config seal --help`"))
		}
		if before != nil && configset.Same(before, after) && before.Pinned == (before.Pinned || e.Pinned) {
			continue
		}
		if before != nil {
			e.Pinned = e.Pinned || before.Pinned
		}
		configset.Put(spec, e)
		keys = append(keys, e.Key)
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

func newConfigUnsetCommand(env *Env) *cobra.Command {
	f := new(layerFlags)
	cmd := &cobra.Command{
		Use: "unset ENVIRONMENT KEY...", Short: "Take values out of a layer", Args: cobra.MinimumNArgs(2), ValidArgsFunction: completeEnvironments,
		Long:    "Takes values out of a layer. What an earlier layer says holds again then.",
		Example: "  appliance config unset press-dev LOG_LEVEL\n  appliance config unset press-dev --app web WORKERS --plan",
	}
	f.add(cmd)
	editKeys(env, cmd, f, func(spec *v1alpha1.ConfigSetSpec, key string) bool { return configset.Remove(spec, key) })
	return cmd
}

func newConfigPinCommand(env *Env, pin bool) *cobra.Command {
	f := new(layerFlags)
	cmd := &cobra.Command{
		Use: "pin ENVIRONMENT KEY...", Short: "Keep `config sync` away from values", Args: cobra.MinimumNArgs(2), ValidArgsFunction: completeEnvironments,
		Long: `Pins values of a layer: they belong to this environment. ` + "`appliance config sync`" + ` neither takes them elsewhere nor puts others in their
place.`,
		Example: "  appliance config pin press-prod DB_HOST DB_PASSWORD",
	}
	if !pin {
		cmd.Use, cmd.Short = "unpin ENVIRONMENT KEY...", "Let `config sync` at values again"
		cmd.Long, cmd.Example = "Takes pins away: `appliance config sync` treats the values like all others again.", "  appliance config unpin press-prod DB_HOST"
	}
	f.add(cmd)
	editKeys(env, cmd, f, func(spec *v1alpha1.ConfigSetSpec, key string) bool {
		e := spec.Entry(key)
		if e != nil {
			e.Pinned = pin
		}
		return e != nil
	})
	return cmd
}

// editKeys has a command change keys that are there.
func editKeys(env *Env, cmd *cobra.Command, f *layerFlags, edit func(spec *v1alpha1.ConfigSetSpec, key string) bool) {
	plan, format := planFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := openSettings()
		if err != nil {
			return err
		}
		p, err := s.find(cmd.Context(), args[0], *f)
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), env, *format, p, *plan, func(spec *v1alpha1.ConfigSetSpec) ([]string, error) {
			for _, key := range args[1:] {
				if !edit(spec, key) {
					return nil, Exit(CodeNoObject, Advise(fmt.Errorf("%s has no %s of its own", p, key), "`appliance config get` shows which layer a value comes from"))
				}
			}
			return args[1:], nil
		})
	}
}

// configDocument is a file with entries and rules, as in the kind itself.
type configDocument struct {
	Entries []v1alpha1.ConfigEntry `json:"entries"`
	Rules   []v1alpha1.ConfigRule  `json:"rules"`
}

func newConfigApplyCommand(env *Env) *cobra.Command {
	f, replace := new(layerFlags), false
	cmd := &cobra.Command{
		Use: "apply ENVIRONMENT FILE", Short: "Set what a file says: entries and rules", Args: cobra.ExactArgs(2), ValidArgsFunction: completeFiles,
		Long: `Sets the entries and rules of a YAML file in a layer, and leaves the others. With --replace the layer has nothing else afterwards. The
fields are those of the kind (appliance kubectl explain configset.spec). Secrets are in it sealed: ` + "`appliance config seal`" + `.`,
		Example: `  appliance config apply press --base rules.yaml
  appliance config apply press-prod settings.yaml --app web --replace --plan`,
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&replace, "replace", false, "take out what is not in the file")
	plan, format := planFlag(cmd), AddFormatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		doc, err := readConfigDocument(args[1])
		if err != nil {
			return err
		}
		s, err := openSettings()
		if err != nil {
			return err
		}
		p, err := s.find(cmd.Context(), args[0], *f)
		if err != nil {
			return err
		}
		return s.change(cmd.Context(), env, *format, p, *plan, func(spec *v1alpha1.ConfigSetSpec) ([]string, error) {
			return doc.put(p.reader, spec, replace)
		})
	}
	return cmd
}

func readConfigDocument(file string) (configDocument, error) {
	var doc configDocument
	raw, err := os.ReadFile(file)
	if err != nil {
		return doc, err
	}
	if err := yaml.UnmarshalStrict(raw, &doc); err != nil {
		return doc, Exit(CodeConfig, fmt.Errorf("%s: %w", file, err))
	}
	for i := range doc.Entries {
		if doc.Entries[i].Kind == "" {
			doc.Entries[i].Kind = v1alpha1.KindPlain
		}
	}
	return doc, Exit(CodeConfig, configset.CheckRules(doc.Rules))
}

// put returns the keys of entries and of rules that were something else before.
func (d configDocument) put(r configset.Reader, spec *v1alpha1.ConfigSetSpec, replace bool) ([]string, error) {
	var keys []string
	if replace {
		for _, e := range slices.Clone(spec.Entries) {
			if !slices.ContainsFunc(d.Entries, func(n v1alpha1.ConfigEntry) bool { return n.Key == e.Key }) {
				configset.Remove(spec, e.Key)
				keys = append(keys, e.Key)
			}
		}
		for _, rule := range spec.Rules {
			if !slices.ContainsFunc(d.Rules, func(n v1alpha1.ConfigRule) bool { return n.Key == rule.Key }) {
				keys = append(keys, rule.Key)
			}
		}
		spec.Rules = slices.DeleteFunc(spec.Rules, func(rule v1alpha1.ConfigRule) bool { return slices.Contains(keys, rule.Key) })
	}
	for _, rule := range d.Rules {
		if configset.PutRule(spec, rule) {
			keys = append(keys, rule.Key)
		}
	}
	set, err := putEntries(r, spec, d.Entries)
	keys = append(keys, set...)
	slices.Sort(keys)
	return slices.Compact(keys), err
}
