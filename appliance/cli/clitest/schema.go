// Package clitest checks what commands print as JSON against docs/operator/json. Only tests use it.
package clitest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"
)

// SchemaFile is where the output of a command, such as "node list", is documented.
func SchemaFile(dir, command string) string {
	return filepath.Join(dir, strings.ReplaceAll(command, " ", "-")+".json")
}

// FollowsSchema checks a document by the schema in a file, and that it has no field that the schema does not name.
func FollowsSchema(file string, document []byte) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var (
		schema   jsonschema.Schema
		instance any
	)
	if err := json.Unmarshal(text, &schema); err != nil {
		return err
	}
	Each(&schema, func(s *jsonschema.Schema) {
		if len(s.Properties) > 0 {
			s.AdditionalProperties = &jsonschema.Schema{Not: &jsonschema.Schema{}}
		}
	})
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(document, &instance); err != nil {
		return err
	}
	return resolved.Validate(instance)
}

// Each calls do for s and every schema below it.
func Each(s *jsonschema.Schema, do func(*jsonschema.Schema)) {
	if s == nil {
		return
	}
	do(s)
	for _, p := range s.Properties {
		Each(p, do)
	}
	for _, p := range s.AnyOf {
		Each(p, do)
	}
	Each(s.Items, do)
	if len(s.Properties) == 0 {
		Each(s.AdditionalProperties, do)
	}
}
