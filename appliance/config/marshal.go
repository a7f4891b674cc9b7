package config

import (
	"bytes"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// commentWidth is where comments are wrapped, indentation not counted.
const commentWidth = 92

// Marshal writes the effective configuration: every field with its value. With comments each field
// is preceded by its documentation.
func Marshal(c Config, comments bool) ([]byte, error) {
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(sectionNode(reflect.ValueOf(c), "", comments)); err != nil {
		return nil, fmt.Errorf("write configuration: %w", err)
	}
	return out.Bytes(), encoder.Close()
}

// Example is the default configuration, commented; what `appliance config example` prints.
func Example() ([]byte, error) { return Marshal(Default(), true) }

func sectionNode(section reflect.Value, path string, comments bool) *yaml.Node {
	node := &yaml.Node{Kind: yaml.MappingNode}
	for _, field := range fieldsOf(section.Type(), path) {
		key := &yaml.Node{Kind: yaml.ScalarNode, Value: field.Name}
		if comments {
			key.HeadComment = wrap(field.Describe(), commentWidth)
		}
		node.Content = append(node.Content, key, valueNode(section.Field(field.index), field.Path, comments))
	}
	return node
}

func valueNode(value reflect.Value, path string, comments bool) *yaml.Node {
	switch t := value.Type(); {
	case isSection(t):
		return sectionNode(value, path, comments)
	case t.Kind() == reflect.Map:
		node := &yaml.Node{Kind: yaml.MappingNode}
		table := value.Interface().(map[string]string)
		for _, key := range slices.Sorted(maps.Keys(table)) {
			node.Content = append(node.Content, textNode(key), textNode(table[key]))
		}
		return node
	case t.Kind() == reflect.Slice:
		node := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range value.Len() {
			node.Content = append(node.Content, valueNode(value.Index(i), path, comments))
		}
		return node
	case t.Kind() == reflect.Bool:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!bool", Value: strconv.FormatBool(value.Bool())}
	case t.Kind() == reflect.Int:
		return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!int", Value: strconv.FormatInt(value.Int(), 10)}
	case isText(t) && value.CanInt():
		return &yaml.Node{Kind: yaml.ScalarNode, Value: textOf(value)} // 1 and 512Mi need no quotes
	default:
		return textNode(textOf(value))
	}
}

func textNode(text string) *yaml.Node {
	node := &yaml.Node{}
	node.SetString(text)
	return node
}

// Describe is the documentation of a field with its rules, as the example and explain show it.
func (f Field) Describe() string {
	parts := []string{f.Doc}
	if len(f.Enum) > 1 {
		parts = append(parts, "One of "+strings.Join(f.Enum, ", ")+".")
	}
	switch {
	case f.Min != "" && f.Max != "":
		parts = append(parts, fmt.Sprintf("From %s to %s.", f.Min, f.Max))
	case f.Min != "" && f.Min != "0":
		parts = append(parts, fmt.Sprintf("At least %s.", f.Min))
	}
	if f.Empty != "" {
		parts = append(parts, fmt.Sprintf("%s: %s.", f.emptyWord(), f.Empty))
	}
	return strings.Join(parts, " ")
}

func (f Field) emptyWord() string {
	if f.Type.Kind() == reflect.Int {
		return "0"
	}
	return "Empty"
}

// wrap breaks text into comment lines.
func wrap(text string, width int) string {
	var lines []string
	line := "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			lines, line = append(lines, line), "#"
		}
		line += " " + word
	}
	return strings.Join(append(lines, line), "\n")
}
