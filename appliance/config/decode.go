package config

import (
	"encoding"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"go.yaml.in/yaml/v3"
)

// Decode reads one answer file over the defaults and judges it. The error is of type Problems and
// lists everything that is wrong, form and meaning alike, in the order of the file. Warnings are
// returned in both cases. With an error the Config is what could be understood, for display only.
func Decode(r io.Reader) (Config, []Warning, error) {
	cfg := Default()
	document, problem := parse(r)
	if problem != nil {
		return cfg, nil, Problems{*problem}
	}
	d := decoder{places: map[string]*yaml.Node{}, refused: map[string]bool{}}
	d.section(document, "", reflect.ValueOf(&cfg).Elem())
	for _, required := range []string{"apiVersion", "kind"} {
		if document.Kind == yaml.MappingNode && d.places[required] == nil && !d.refused[required] {
			d.add(document, required, "missing", fmt.Sprintf("start the file with apiVersion: %s and kind: %s", APIVersion, Kind))
		}
	}
	warnings, problems := cfg.validate()
	for _, p := range problems {
		if !d.refused[p.Path] {
			d.problems = append(d.problems, d.placed(p))
		}
	}
	for i, w := range warnings {
		warnings[i] = Warning(d.placed(Problem(w)))
	}
	return cfg, warnings, d.problems.sorted().orNil()
}

// decoder walks nodes and values together, so that every problem has its place.
type decoder struct {
	places   map[string]*yaml.Node // path to the node of its value
	refused  map[string]bool       // paths with a problem of form, whose value is still the default
	problems Problems
}

func (d *decoder) add(node *yaml.Node, path, message, advice string) {
	d.refused[path] = true
	d.problems = append(d.problems, Problem{Line: node.Line, Column: node.Column, Path: path, Message: message, Advice: advice})
}

// placed gives a problem the place of its field, or of the nearest section that is in the file.
func (d *decoder) placed(p Problem) Problem {
	for path := p.Path; path != ""; {
		if node := d.places[path]; node != nil {
			p.Line, p.Column = node.Line, node.Column
			break
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
	return p
}

func (d *decoder) section(node *yaml.Node, path string, into reflect.Value) {
	fields := fieldsOf(into.Type(), path)
	d.mapping(node, path, func(key, value *yaml.Node) {
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key.Value })
		if i < 0 {
			d.add(key, join(path, key.Value), "unknown field", nearest(key.Value, fields))
			return
		}
		d.value(value, fields[i].Path, into.Field(fields[i].index))
	})
}

// mapping calls f for every pair of a mapping, and refuses what is not one and keys given twice.
func (d *decoder) mapping(node *yaml.Node, path string, f func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.add(node, path, "not a section of fields", "write name: value lines, indented below it")
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if key.Kind != yaml.ScalarNode {
			d.add(key, path, "not a field name", "use plain names as keys")
			continue
		}
		if line, twice := seen[key.Value]; twice {
			d.add(key, join(path, key.Value), fmt.Sprintf("given twice, first in line %d", line), "keep one of them")
			continue
		}
		seen[key.Value] = key.Line
		f(key, node.Content[i+1])
	}
}

// value decodes one value. A null keeps the default, as if the line were not there.
func (d *decoder) value(node *yaml.Node, path string, into reflect.Value) {
	switch {
	case node.Kind == yaml.AliasNode:
		d.add(node, path, "an alias", "write the value out; anchors and aliases are not used in answer files")
		return
	case isNull(node):
		return
	}
	d.places[path] = node
	switch t := into.Type(); {
	case isSection(t):
		d.section(node, path, into)
	case t.Kind() == reflect.Map:
		d.table(node, path, into)
	case t.Kind() == reflect.Slice:
		d.list(node, path, into)
	default:
		d.scalar(node, path, into)
	}
}

func (d *decoder) table(node *yaml.Node, path string, into reflect.Value) {
	table := map[string]string{}
	d.mapping(node, path, func(key, value *yaml.Node) {
		text := ""
		d.value(value, path+"["+key.Value+"]", reflect.ValueOf(&text).Elem())
		table[key.Value] = text
	})
	if len(table) > 0 {
		into.Set(reflect.ValueOf(table))
	}
}

func (d *decoder) list(node *yaml.Node, path string, into reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		d.add(node, path, "not a list", "write one item a line, each after a dash")
		return
	}
	list := reflect.Zero(into.Type())
	for i, item := range node.Content {
		if isNull(item) {
			d.add(item, fmt.Sprintf("%s[%d]", path, i), "an empty item", "fill it in or remove the line")
			continue
		}
		element := reflect.New(into.Type().Elem()).Elem()
		d.value(item, fmt.Sprintf("%s[%d]", path, i), element)
		list = reflect.Append(list, element)
	}
	into.Set(list)
}

func (d *decoder) scalar(node *yaml.Node, path string, into reflect.Value) {
	wanted := notationOf(into.Type())
	if node.Kind != yaml.ScalarNode {
		d.add(node, path, wanted.missed, wanted.advice)
		return
	}
	if !setScalar(node, into) {
		d.add(node, path, fmt.Sprintf("%s: %q", wanted.missed, node.Value), wanted.advice)
	}
}

func setScalar(node *yaml.Node, into reflect.Value) bool {
	if isText(into.Type()) {
		return into.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(node.Value)) == nil
	}
	switch into.Kind() {
	case reflect.Bool:
		if node.ShortTag() != "!!bool" {
			return false
		}
		into.SetBool(strings.EqualFold(node.Value, "true"))
	case reflect.Int:
		value, err := strconv.ParseInt(node.Value, 10, 64)
		if err != nil || node.ShortTag() != "!!int" {
			return false
		}
		into.SetInt(value)
	default:
		into.SetString(node.Value)
	}
	return true
}

// nearest is the advice for a field that does not exist.
func nearest(name string, fields []Field) string {
	best, distance := "", 1+len(name)/2
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
		if n := levenshtein.Distance(strings.ToLower(name), strings.ToLower(f.Name), nil); n < distance {
			best, distance = f.Name, n
		}
	}
	if best != "" {
		return "did you mean " + best + "?"
	}
	return "the fields here are " + strings.Join(names, ", ")
}
