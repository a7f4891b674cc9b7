package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"islet/appliance/config"
	"islet/appliance/host"
	"islet/appliance/layout"
)

func newConfigCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "config", GroupID: groupTool, Short: "Configuration: the answer file of a node, and that of environments and applications",
		Long: `The answer file is one YAML document that says everything the appliance needs to be told. Every
field has a default; an empty site is a valid one. The file of an installed node is
` + layout.Default().Config() + `.

Environments have configuration of their own: variables, secrets and files for what runs there, in layers. The tenant's base holds
everywhere, an environment's layer there, an application's for it alone. A later layer's value stands for an earlier one's. The same kind
can be had by kubectl: configsets.islet.dev, or cfg.`,
		Example: `  appliance config example > site.yaml                 a commented file to start from
  appliance config validate site.yaml                  every problem at once, with its line
  appliance config set press-dev LOG_LEVEL=debug
  appliance config diff press-test press-prod
  appliance config sync press-test press-prod --plan`,
	}
	const file, environment = "file", "environment"
	cmd.AddGroup(&cobra.Group{ID: file, Title: "The answer file of a node:"}, &cobra.Group{ID: environment, Title: "Environments and applications:"})
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			cmd.AddCommand(c)
		}
	}
	add(file, newConfigExampleCommand(e), newConfigValidateCommand(e), newConfigShowCommand(e), newConfigExplainCommand(e), newConfigSchemaCommand(e))
	add(environment, newConfigListCommand(e), newConfigGetCommand(e), newConfigSetCommand(e), newConfigUnsetCommand(e), newConfigPinCommand(e, true),
		newConfigPinCommand(e, false), newConfigApplyCommand(e), newConfigHistoryCommand(e), newConfigDiffCommand(e), newConfigSyncCommand(e),
		newConfigKeyCommand(e), newConfigSealCommand(e))
	return cmd
}

func newConfigExampleCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "example", Short: "Print a commented answer file with all fields and their defaults", Args: cobra.NoArgs,
		Long: `Print an answer file that names every field with its default and says what it is for. Keep only
the lines that you change: what is left out keeps following the defaults.`,
		Example: "  appliance config example > site.yaml",
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Example()
			if err != nil {
				return err
			}
			_, err = e.Stdio.Out.Write(text)
			return err
		},
	}
}

// configReport is the JSON form of a validation.
type configReport struct {
	File     string           `json:"file"`
	Valid    bool             `json:"valid"`
	Problems []config.Problem `json:"problems"`
	Warnings []config.Warning `json:"warnings"`
	Derived  *config.Derived  `json:"derived,omitempty"`
}

func newConfigValidateCommand(e *Env) *cobra.Command {
	var here bool
	cmd := &cobra.Command{
		Use: "validate FILE", Short: "Check an answer file and list every problem with its line", Args: cobra.ExactArgs(1), ValidArgsFunction: completeFiles,
		Long: `Check an answer file. All problems are listed at once, each with line, column, field and what to
do. Nothing of this machine is looked at, unless --here asks whether the file fits it.`,
		Example: `  appliance config validate site.yaml
  appliance config validate --here site.yaml      does it fit this machine's addresses, too?
  appliance config validate -o json site.yaml`,
	}
	format := AddFormatFlag(cmd)
	cmd.Flags().BoolVar(&here, "here", false, "also check that the file fits this machine")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		report, err := validateConfig(cmd, args[0], here)
		if err != nil {
			return err
		}
		if *format == FormatJSON || report.Valid {
			if err := e.Print(*format, report, report.print); err != nil {
				return err
			}
		}
		switch {
		case report.Valid:
			return nil
		case *format == FormatJSON:
			return &ExitError{Code: CodeConfig}
		}
		return Exit(CodeConfig, config.Problems(report.Problems))
	}
	return cmd
}

func validateConfig(cmd *cobra.Command, file string, here bool) (configReport, error) {
	cfg, warnings, err := config.Load(file)
	report := configReport{File: file, Valid: err == nil, Problems: []config.Problem{}, Warnings: slices.Concat([]config.Warning{}, warnings)}
	if err == nil && here {
		facts, _ := host.Gather(cmd.Context()) // what could not be read is left out of the comparison
		derived, deriveErr := config.Derive(cfg, facts)
		report.Derived, err = &derived, deriveErr
		report.Valid = err == nil
	}
	if problems, ok := errors.AsType[config.Problems](err); ok {
		report.Problems = problems.In(file)
		return report, nil
	}
	return report, err
}

func (r configReport) print(w io.Writer) error {
	var b strings.Builder
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", warning)
	}
	fmt.Fprintf(&b, "%s is valid\n", r.File)
	if d := r.Derived; d != nil {
		fmt.Fprintf(&b, "here: node %s at %s on %s, pods by %s with an MTU of %d, applications under %s\n",
			d.NodeName, d.Address, d.Interface, d.Backend, d.MTU, d.Domain)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func newConfigShowCommand(e *Env) *cobra.Command {
	var effective bool
	cmd := &cobra.Command{
		Use: "show [FILE]", Short: "Print a configuration with all defaults filled in", Args: cobra.MaximumNArgs(1), ValidArgsFunction: completeFiles,
		Long: `Print what the appliance would use: the file's values over the defaults. Without FILE it is the
file of this node. With --effective each field is preceded by what it means.`,
		Example: `  appliance config show
  appliance config show --effective site.yaml
  appliance config show -o json | jq .network`,
	}
	cmd.Flags().BoolVar(&effective, "effective", false, "explain each field in a comment")
	format := AddFormatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		file := layout.Default().Config()
		if len(args) > 0 {
			file = args[0]
		}
		cfg, err := loadConfig(file)
		if err != nil {
			return err
		}
		text, err := config.Marshal(cfg, effective)
		if err != nil {
			return err
		}
		var fields map[string]any // the same document, as its schema describes it
		if err := yaml.Unmarshal(text, &fields); err != nil {
			return err
		}
		return e.Print(*format, fields, func(w io.Writer) error {
			_, err := w.Write(text)
			return err
		})
	}
	return cmd
}

// loadConfig reads an answer file for a command that cannot go on without a valid one.
func loadConfig(file string) (config.Config, error) {
	cfg, _, err := config.Load(file)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		return cfg, Exit(CodeConfig, problems)
	}
	return cfg, Advise(err, "name an answer file, or write one: appliance config example")
}

func newConfigExplainCommand(e *Env) *cobra.Command {
	cmd := &cobra.Command{
		Use: "explain [FIELD]", Short: "Explain a field of the answer file, or list all", Args: cobra.MaximumNArgs(1),
		Example: `  appliance config explain
  appliance config explain network.podCIDR
  appliance config explain datastore      everything below it
  appliance config explain -o json | jq -r '.[].field'`,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, f := range config.Fields() {
				names = append(names, cobra.CompletionWithDesc(f.Path, f.Doc))
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
	}
	cmd.Long = "Explain a field of the answer file: what it means, what it may be, and what an empty value stands for."
	format := AddFormatFlag(cmd)
	cmd.RunE = func(_ *cobra.Command, args []string) error {
		field := strings.Join(args, "")
		var found []configField
		for _, f := range config.Fields() {
			if field == "" || f.Path == field || strings.HasPrefix(f.Path, field+".") {
				found = append(found, configField{f.Path, f.Describe()})
			}
		}
		if len(found) == 0 {
			return Exit(CodeUsage, Advise(fmt.Errorf("no field %q in the answer file", field), "appliance config explain lists all fields"))
		}
		return e.Print(*format, found, func(w io.Writer) error {
			for _, f := range found {
				if _, err := fmt.Fprintf(w, "%s\n    %s\n", f.Field, f.Meaning); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return cmd
}

// configField is one field of the answer file.
type configField struct {
	Field   string `json:"field"`   // its path, such as network.mtu
	Meaning string `json:"meaning"` // what it is for, what it may be, and what an empty value stands for
}

func newConfigSchemaCommand(e *Env) *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the answer file's JSON Schema, for editors and form generators", Args: cobra.NoArgs,
		Long: `Print the form of the answer file as JSON Schema (draft 2020-12). Rules between fields are not in
it: appliance config validate has the last word.`,
		Example: "  appliance config schema > site.schema.json",
		RunE: func(*cobra.Command, []string) error {
			text, err := config.Schema()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(e.Stdio.Out, "%s\n", text)
			return err
		},
	}
}
