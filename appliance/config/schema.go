package config

import (
	"encoding/json"
	"reflect"
)

// schema is the part of JSON Schema (draft 2020-12) that the answer file needs.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        any                `json:"type,omitempty"` // one name, or several
	Enum        []string           `json:"enum,omitempty"`
	Minimum     *int64             `json:"minimum,omitempty"`
	Maximum     *int64             `json:"maximum,omitempty"`
	Default     any                `json:"default,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or the schema of values
}

// Schema is the answer file as JSON Schema, for editors and form generators. Rules between fields
// are not in it: Decode has the last word.
func Schema() ([]byte, error) {
	root := sectionSchema(reflect.ValueOf(Default()), "")
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = Kind + " " + APIVersion
	root.Required = []string{"apiVersion", "kind"}
	return json.MarshalIndent(root, "", "  ")
}

func sectionSchema(section reflect.Value, path string) *schema {
	s := &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
	for _, field := range fieldsOf(section.Type(), path) {
		value := section.Field(field.index)
		property := fieldSchema(field, value)
		property.Description = field.Describe()
		s.Properties[field.Name] = property
	}
	return s
}

func fieldSchema(field Field, value reflect.Value) *schema {
	switch {
	case field.Section:
		return sectionSchema(value, field.Path)
	case field.Type.Kind() == reflect.Map:
		return &schema{Type: "object", Additional: &schema{Type: "string"}}
	case field.Type.Kind() == reflect.Slice:
		return &schema{Type: "array", Items: &schema{Type: "string"}}
	case field.Type.Kind() == reflect.Bool:
		return &schema{Type: "boolean", Default: value.Bool()}
	case field.Type.Kind() == reflect.Int:
		s := &schema{Type: "integer", Default: value.Int()}
		if field.Empty == "" { // otherwise 0 is allowed too, which a minimum would forbid
			s.Minimum = bound(field, field.Min)
		}
		s.Maximum = bound(field, field.Max)
		return s
	case field.Type == reflect.TypeFor[Size]() || field.Type == reflect.TypeFor[CPU]():
		return &schema{Type: []string{"string", "integer", "number"}, Default: textOf(value)}
	default:
		return &schema{Type: "string", Enum: field.Enum, Default: textOf(value)}
	}
}

func bound(field Field, tag string) *int64 {
	if tag == "" {
		return nil
	}
	value := limit(field.Type, tag)
	return &value
}
