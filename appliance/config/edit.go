package config

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit sets one field of an answer file, such as "datastore.store", and leaves everything else as it is, comments included.
// What comes out has been judged as a whole.
func Edit(data []byte, path, value string) ([]byte, error) {
	root, problem := parse(bytes.NewReader(data))
	if problem != nil {
		return nil, Problems{*problem}
	}
	node := root
	for name := range strings.SplitSeq(path, ".") {
		node = child(node, name)
	}
	*node = yaml.Node{Kind: yaml.ScalarNode, Value: value, LineComment: node.LineComment, HeadComment: node.HeadComment, FootComment: node.FootComment}
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
