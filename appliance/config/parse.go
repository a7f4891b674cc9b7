package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDocument bounds what is read of an answer file, in bytes.
const maxDocument = 1 << 20

// Load is Decode of a file; problems and warnings carry its name. An error that is not Problems is
// about the file itself, such as fs.ErrNotExist.
func Load(path string) (Config, []Warning, error) {
	file, err := os.Open(path)
	if err != nil {
		return Default(), nil, fmt.Errorf("read the answer file: %w", err)
	}
	defer file.Close()
	cfg, warnings, err := Decode(file)
	for i := range warnings {
		warnings[i].File = path
	}
	if problems, ok := errors.AsType[Problems](err); ok {
		return cfg, warnings, problems.In(path)
	}
	return cfg, warnings, err
}

// yamlLine finds the line in a message of the YAML library, which has no other form for it.
var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// parse reads exactly one document whose root is a mapping.
func parse(r io.Reader) (*yaml.Node, *Problem) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	switch {
	case err != nil:
		return nil, &Problem{Message: "cannot be read: " + err.Error()}
	case len(data) > maxDocument:
		return nil, &Problem{Message: "larger than 1 MiB", Advice: "this is not an answer file; see appliance config example"}
	}
	var document, second yaml.Node
	decoder := yaml.NewDecoder(strings.NewReader(string(data)))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF) || err == nil && (len(document.Content) == 0 || isNull(document.Content[0])):
		return nil, &Problem{Message: "the file is empty", Advice: "start from appliance config example"}
	case err != nil:
		return nil, syntaxProblem(err)
	}
	switch err := decoder.Decode(&second); {
	case err == nil:
		return nil, &Problem{Line: second.Line, Column: second.Column, Message: "a second document", Advice: "keep one document per answer file"}
	case !errors.Is(err, io.EOF):
		return nil, syntaxProblem(err)
	}
	return document.Content[0], nil
}

func syntaxProblem(err error) *Problem {
	p := &Problem{Message: "not YAML: " + err.Error(), Advice: "check indentation, colons and quotes there"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		p.Message = "not YAML: " + m[2]
		if line, err := strconv.Atoi(m[1]); err == nil {
			p.Line, p.Column = line, 1
		}
	}
	return p
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}
