package cli

import (
	"bytes"
	"encoding"
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/spf13/cobra"

	"islet/appliance/api"
	"islet/appliance/audit"
	"islet/appliance/backup"
	"islet/appliance/cli/clitest"
	"islet/appliance/component"
	"islet/appliance/doctor"
	"islet/appliance/join"
	"islet/appliance/manual"
	"islet/appliance/metric"
	"islet/appliance/paas/v1alpha1"
	"islet/appliance/plan"
	"islet/appliance/preflight"
	"islet/appliance/reset"
	"islet/bundle"
)

const (
	repository  = "../.."
	schemaDir   = repository + "/docs/operator/json"
	schemaDraft = "https://json-schema.org/draft/2020-12/schema"
)

// result of a function: what the command prints is what it returns.
func result0(function any) reflect.Type { return reflect.TypeOf(function).Out(0) }

// jsonOutputs is what each command with -o json prints; several types where flags or the course of things decide.
func jsonOutputs() map[string][]reflect.Type {
	of := func(values ...reflect.Type) []reflect.Type { return values }
	installed := of(reflect.TypeFor[installReport]())
	lab := of(result0(viewLab))
	return map[string][]reflect.Type{
		"addon list":         of(reflect.TypeFor[[]addonRow]()),
		"app apply":          of(reflect.TypeFor[[]appView]()),
		"app list":           of(reflect.TypeFor[[]appView]()),
		"app restart":        of(reflect.TypeFor[appView]()),
		"app scale":          of(reflect.TypeFor[appView]()),
		"app show":           of(reflect.TypeFor[appView]()),
		"app start":          of(reflect.TypeFor[appView]()),
		"app stop":           of(reflect.TypeFor[appView]()),
		"audit export":       of(reflect.TypeFor[auditExported]()),
		"audit list":         of(reflect.TypeFor[[]audit.Entry]()),
		"audit verify":       of(reflect.TypeFor[[]auditVerified]()),
		"backup create":      of(result0(backup.WriteFile)),
		"backup key create":  of(reflect.TypeFor[keyMadeReport]()),
		"backup key show":    of(reflect.TypeFor[keyMadeReport]()),
		"backup list":        of(reflect.TypeFor[[]backupRow]()),
		"backup restore":     installed,
		"backup verify":      of(reflect.TypeFor[backupChecked]()),
		"bundle create":      of(result0(summarize)),
		"bundle diff":        of(result0(bundle.Diff)),
		"bundle extract":     of(reflect.TypeFor[extractReport]()),
		"bundle inspect":     of(result0(summarize)),
		"bundle keygen":      of(reflect.TypeFor[keyReport]()),
		"bundle verify":      of(reflect.TypeFor[verifyReport]()),
		"cert list":          of(reflect.TypeFor[[]certificate]()),
		"cert rotate-ca":     of(reflect.TypeFor[*api.Rotation](), reflect.TypeFor[rotationPlan]()),
		"component events":   of(reflect.TypeFor[[]component.Event]()),
		"config apply":       of(reflect.TypeFor[configChange]()),
		"config diff":        of(reflect.TypeFor[configDifference]()),
		"config get":         of(reflect.TypeFor[[]configValue]()),
		"config history":     of(reflect.TypeFor[[]v1alpha1.ConfigRevision]()),
		"config key":         of(reflect.TypeFor[siteKeyReport]()),
		"config list":        of(reflect.TypeFor[[]configLayer]()),
		"config pin":         of(reflect.TypeFor[configChange]()),
		"config seal":        of(reflect.TypeFor[sealedReport]()),
		"config set":         of(reflect.TypeFor[configChange]()),
		"config sync":        of(reflect.TypeFor[configSyncReport]()),
		"config unpin":       of(reflect.TypeFor[configChange]()),
		"config unset":       of(reflect.TypeFor[configChange]()),
		"config explain":     of(reflect.TypeFor[[]configField]()),
		"config show":        of(reflect.TypeFor[map[string]any]()),
		"config validate":    of(reflect.TypeFor[configReport]()),
		"datastore migrate":  of(result0((*migrateFlags).prepare)),
		"datastore recover":  of(reflect.TypeFor[datastoreReport]()),
		"datastore status":   of(reflect.TypeFor[datastoreReport]()),
		"doctor":             of(reflect.TypeFor[doctor.Report]()),
		"env create":         of(reflect.TypeFor[environmentView]()),
		"env list":           of(reflect.TypeFor[[]environmentView]()),
		"env set":            of(reflect.TypeFor[environmentView]()),
		"help":               of(reflect.TypeFor[[]manual.Topic](), reflect.TypeFor[helpPage]()),
		"history":            of(reflect.TypeFor[metric.History]()),
		"image list":         of(result0(imageRows)),
		"image prune":        of(result0(prune)),
		"image upload":       of(result0(upload)),
		"install":            installed,
		"join":               installed,
		"lab list":           of(reflect.SliceOf(lab[0])),
		"lab status":         lab,
		"lab up":             lab,
		"node list":          of(reflect.TypeFor[[]siteNode]()),
		"node show":          of(reflect.TypeFor[nodeDetail]()),
		"node replace":       of(reflect.TypeFor[tokenReport]()),
		"order abandon":      of(reflect.TypeFor[orderView]()),
		"order approve":      of(reflect.TypeFor[orderView]()),
		"order create":       of(reflect.TypeFor[orderView]()),
		"order list":         of(reflect.TypeFor[[]orderView]()),
		"order pause":        of(reflect.TypeFor[orderView]()),
		"order refuse":       of(reflect.TypeFor[orderView]()),
		"order resume":       of(reflect.TypeFor[orderView]()),
		"order rollback":     of(reflect.TypeFor[orderView]()),
		"order show":         of(reflect.TypeFor[orderView]()),
		"plan list":          of(reflect.TypeFor[[]plan.Journal]()),
		"plan show":          of(reflect.TypeFor[plan.Journal]()),
		"preflight":          of(reflect.TypeFor[preflight.Report]()),
		"readdress":          of(reflect.TypeFor[readdressing]()),
		"registry user add":  of(reflect.TypeFor[registryUser]()),
		"registry user list": of(reflect.TypeFor[[]registryUser]()),
		"route list":         of(reflect.TypeFor[routesView]()),
		"route repair":       of(reflect.TypeFor[routesView]()),
		"route set":          of(reflect.TypeFor[routesView]()),
		"release create":     of(reflect.TypeFor[releaseView]()),
		"release list":       of(reflect.TypeFor[[]releaseView]()),
		"release show":       of(reflect.TypeFor[releaseView]()),
		"reset":              of(result0((*reset.Reset).Plan), reflect.TypeFor[resetReport]()),
		"status":             of(reflect.TypeFor[api.Status](), reflect.TypeFor[statusChange]()),
		"support-bundle":     of(reflect.TypeFor[supportReport]()),
		"service bind":       of(reflect.TypeFor[bindingView]()),
		"service classes":    of(reflect.TypeFor[[]serviceClassView]()),
		"service create":     of(reflect.TypeFor[serviceView]()),
		"service list":       of(reflect.TypeFor[[]serviceView]()),
		"service show":       of(reflect.TypeFor[serviceView]()),
		"tenant create":      of(reflect.TypeFor[tenantView]()),
		"tenant list":        of(reflect.TypeFor[[]tenantView]()),
		"tenant set":         of(reflect.TypeFor[tenantView]()),
		"token create":       of(reflect.TypeFor[tokenReport]()),
		"token list":         of(reflect.TypeFor[[]join.Record]()),
		"token revoke":       of(reflect.TypeFor[join.Record]()),
		"version":            of(reflect.TypeFor[versionReport]()),
	}
}

// schemaFile is where a command's output is documented.
func schemaFile(command string) string {
	return clitest.SchemaFile(schemaDir, command)
}

// Every command with -o json has its schema in docs/operator/json, made from the types that it prints. -update writes them.
func TestJSONIsDocumented(t *testing.T) {
	t.Parallel()
	outputs := jsonOutputs()
	printing := map[string]bool{}
	walk(newRoot(NewEnv(Stdio{})), func(cmd *cobra.Command) {
		if cmd.Flags().Lookup("output") != nil {
			printing[commandName(cmd)] = true
		}
	})
	for name := range printing {
		if outputs[name] == nil {
			t.Errorf("%s has -o json, and jsonOutputs does not say what it prints", name)
		}
	}
	d := describer{packages: map[string]map[string]*ast.StructType{}}
	files := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(outputs)) {
		if !printing[name] {
			t.Errorf("jsonOutputs has %s, which has no -o json", name)
		}
		text := d.document(t, name, outputs[name])
		file := schemaFile(name)
		files[filepath.Base(file)] = true
		if updating() {
			if err := os.WriteFile(file, text, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, text) {
			t.Errorf("%s is not what %s prints (%v); run the test with -update and review the difference: fields are added, never changed", file, name, err)
		}
	}
	entries, err := os.ReadDir(schemaDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !files[e.Name()] {
			t.Errorf("%s is of no command", e.Name())
		}
	}
}

// What can be run here prints what its schema says, and no field more. e2e does the same with commands that need a node.
func TestJSONFollowsItsSchema(t *testing.T) {
	t.Parallel()
	site := writeFile(t, siteHeader+"site: {name: plant7}\n")
	bad := writeFile(t, siteHeader+"site: {name: Plant 7}\n")
	for _, c := range []struct {
		command string
		args    []string
	}{
		{"help", nil},
		{"help", []string{"backup"}},
		{"config validate", []string{site}},
		{"config validate", []string{bad}},
		{"config validate", []string{"--here", site}},
		{"config explain", nil},
		{"config explain", []string{"network.mtu"}},
		{"config show", []string{site}},
		{"preflight", nil},
		{"lab list", nil},
		{"version", []string{"--short"}},
	} {
		out, stderr, _ := runCommand(t, append(append(strings.Fields(c.command), "-o", "json"), c.args...)...)
		if err := clitest.FollowsSchema(schemaFile(c.command), []byte(out)); err != nil {
			t.Errorf("%s %q: %v\n%.300s%s", c.command, c.args, err, out, stderr)
		}
	}
}

// describer makes schemas of types, with the comments of their fields in the source.
type describer struct {
	packages map[string]map[string]*ast.StructType // by import path and name
}

func (d describer) document(t *testing.T, command string, types []reflect.Type) []byte {
	t.Helper()
	var all []*jsonschema.Schema
	for _, typ := range types {
		s, err := jsonschema.ForType(typ, &jsonschema.ForOptions{TypeSchemas: texts(typ, map[reflect.Type]*jsonschema.Schema{}, map[reflect.Type]bool{})})
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		clitest.Each(s, func(s *jsonschema.Schema) {
			if len(s.Properties) > 0 {
				s.AdditionalProperties = nil // outputs grow: a reader skips what it does not know
			}
		})
		d.describe(t, typ, s)
		all = append(all, s)
	}
	s := all[0]
	if len(all) > 1 {
		s = &jsonschema.Schema{AnyOf: all}
	}
	s.Schema, s.Title = schemaDraft, "appliance "+command+" -o json"
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// texts finds the types below t that are written as a text: those with MarshalText.
func texts(t reflect.Type, found map[reflect.Type]*jsonschema.Schema, seen map[reflect.Type]bool) map[reflect.Type]*jsonschema.Schema {
	if seen[t] {
		return found
	}
	seen[t] = true
	own := t.PkgPath() != "" && t != reflect.TypeFor[time.Time]()
	switch {
	case own && t.Implements(reflect.TypeFor[json.Marshaler]()):
		found[t] = &jsonschema.Schema{}
		return found
	case own && t.Implements(reflect.TypeFor[encoding.TextMarshaler]()):
		found[t] = &jsonschema.Schema{Type: "string"}
		return found
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		texts(t.Elem(), found, seen)
	case reflect.Struct:
		for field := range t.Fields() {
			texts(field.Type, found, seen)
		}
	}
	return found
}

// describe adds the comments of t's fields to its schema.
func (d describer) describe(t *testing.T, typ reflect.Type, s *jsonschema.Schema) {
	t.Helper()
	switch typ.Kind() {
	case reflect.Pointer:
		d.describe(t, typ.Elem(), s)
	case reflect.Slice, reflect.Array:
		if s.Items != nil {
			d.describe(t, typ.Elem(), s.Items)
		}
	case reflect.Map:
		if s.AdditionalProperties != nil {
			d.describe(t, typ.Elem(), s.AdditionalProperties)
		}
	case reflect.Struct:
		for field := range typ.Fields() {
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			if field.Anonymous && name == "" {
				d.describe(t, field.Type, s)
				continue
			}
			if name == "" {
				name = field.Name
			}
			if property := s.Properties[name]; property != nil {
				if comment := d.comment(t, typ, field.Name); comment != "" {
					property.Description = comment
				}
				d.describe(t, field.Type, property)
			}
		}
	}
}

func (d describer) comment(t *testing.T, typ reflect.Type, field string) string {
	t.Helper()
	path, own := strings.CutPrefix(typ.PkgPath(), "islet/")
	if !own {
		return ""
	}
	if d.packages[path] == nil {
		d.packages[path] = structs(t, filepath.Join(repository, path))
	}
	if s := d.packages[path][typ.Name()]; s != nil {
		for _, f := range s.Fields.List {
			for _, name := range f.Names {
				if name.Name == field {
					return strings.Join(strings.Fields(f.Doc.Text()+" "+f.Comment.Text()), " ")
				}
			}
		}
	}
	return ""
}

// structs parses a package for its struct types.
func structs(t *testing.T, dir string) map[string]*ast.StructType {
	t.Helper()
	found := map[string]*ast.StructType{}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no source in %s (%v)", dir, err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if spec, ok := n.(*ast.TypeSpec); ok {
				if s, ok := spec.Type.(*ast.StructType); ok {
					found[spec.Name.Name] = s
				}
			}
			return true
		})
	}
	return found
}

// commandName is a command's path without the program's name.
func commandName(cmd *cobra.Command) string {
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// walk calls do for every command that an operator sees.
func walk(cmd *cobra.Command, do func(*cobra.Command)) {
	do(cmd)
	for _, sub := range cmd.Commands() {
		if !sub.Hidden {
			walk(sub, do)
		}
	}
}
