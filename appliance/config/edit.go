package config

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit sets one field of an answer file, such as "datastore.store", and leaves everything else as it is, comments included.
// A list is written with commas. What comes out has been judged as a whole; with problems it is returned, too.
func Edit(data []byte, path, value string) ([]byte, error) {
	root, problem := parse(bytes.NewReader(data))
	if problem != nil {
		return nil, Problems{*problem}
	}
	node := root
	for name := range strings.SplitSeq(path, ".") {
		node = child(node, name)
	}
	written := written(path, value)
	written.LineComment, written.HeadComment, written.FootComment = node.LineComment, node.HeadComment, node.FootComment
	*node = *written
	var out bytes.Buffer
	encoder := yaml.NewEncoder(&out)
	encoder.SetIndent(2)
	if err := encoder.Encode(root); err != nil {
		return nil, fmt.Errorf("write %s into the answer file: %w", path, err)
	}
	_, _, err := Decode(bytes.NewReader(out.Bytes()))
	return out.Bytes(), err
}

// child returns the value of that name in a mapping, after adding an empty one where there is none.
func child(node *yaml.Node, name string) *yaml.Node {
	if node.Kind != yaml.MappingNode {
		*node = yaml.Node{Kind: yaml.MappingNode, HeadComment: node.HeadComment, FootComment: node.FootComment}
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i+1]
		}
	}
	key, value := &yaml.Node{Kind: yaml.ScalarNode, Value: name}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
	node.Content = append(node.Content, key, value)
	return value
}

// written is a value as its field wants it: a list as such, text in quotes where it would be read as something else.
func written(path, value string) *yaml.Node {
	fields := Fields()
	i := slices.IndexFunc(fields, func(f Field) bool { return f.Path == path })
	switch {
	case i >= 0 && fields[i].Type.Kind() == reflect.Slice:
		list := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for part := range strings.SplitSeq(value, ",") {
			list.Content = append(list.Content, textNode(strings.TrimSpace(part)))
		}
		return list
	case i >= 0 && fields[i].Type.Kind() == reflect.String:
		return textNode(value)
	default:
		return &yaml.Node{Kind: yaml.ScalarNode, Value: value}
	}
}

// Get returns a field's value as text, lists with commas, and whether there is such a field.
func Get(c Config, path string) (string, bool) {
	value := reflect.ValueOf(c)
	for name := range strings.SplitSeq(path, ".") {
		if !isSection(value.Type()) {
			return "", false
		}
		fields := fieldsOf(value.Type(), "")
		i := slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
		if i < 0 {
			return "", false
		}
		value = value.Field(fields[i].index)
	}
	if value.Kind() != reflect.Slice {
		return textOf(value), !isSection(value.Type())
	}
	parts := make([]string, value.Len())
	for i := range parts {
		parts[i] = textOf(value.Index(i))
	}
	return strings.Join(parts, ", "), true
}
