package config

import (
	"encoding"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Validate judges a configuration that was built in memory, as the wizard does. The error is of
// type Problems and lists everything that is wrong, without places in a file.
func (c Config) Validate() ([]Warning, error) {
	warnings, problems := c.validate()
	return warnings, problems.orNil()
}

func (c Config) validate() ([]Warning, Problems) {
	j := &judge{}
	j.section(reflect.ValueOf(c), "")
	j.names(c)
	j.network(c)
	j.vip(c)
	j.ports(c)
	j.paths(c)
	j.storage(c)
	j.external(c)
	return j.warnings, j.problems
}

// judge collects. Its rules for single fields come from the tags; those between fields are methods.
type judge struct {
	problems Problems
	warnings []Warning
}

func (j *judge) refuse(path, advice, message string, args ...any) {
	j.problems = append(j.problems, Problem{Path: path, Message: fmt.Sprintf(message, args...), Advice: advice})
}

func (j *judge) warn(path, advice, message string, args ...any) {
	j.warnings = append(j.warnings, Warning{Path: path, Message: fmt.Sprintf(message, args...), Advice: advice})
}

func (j *judge) section(section reflect.Value, path string) {
	for _, field := range fieldsOf(section.Type(), path) {
		value := section.Field(field.index)
		switch {
		case field.Section:
			j.section(value, field.Path)
		case value.Kind() == reflect.Slice || value.Kind() == reflect.Map || value.Kind() == reflect.Bool:
		case value.IsZero() && field.Empty != "":
		case value.IsZero() && field.Min == "":
			j.refuse(field.Path, "remove the line to get the default", "empty")
		default:
			j.field(value, field)
		}
	}
}

func (j *judge) field(value reflect.Value, f Field) {
	text := textOf(value)
	if f.Enum != nil && !slices.Contains(f.Enum, text) {
		j.refuse(f.Path, refusal(f, text), "%q is not %s", text, oneOf(f.Enum))
	}
	if form, found := formats[f.Format]; found && !form.accepts(text) {
		j.refuse(f.Path, form.advice, "%s: %q", form.missed, text)
	}
	if f.Min != "" && value.Int() < limit(f.Type, f.Min) {
		j.refuse(f.Path, "use at least "+f.Min, "%s is too small", text)
	}
	if f.Max != "" && value.Int() > limit(f.Type, f.Max) {
		j.refuse(f.Path, "use at most "+f.Max, "%s is too large", text)
	}
}

func oneOf(values []string) string {
	if len(values) == 1 {
		return strconv.Quote(values[0])
	}
	return "one of " + strings.Join(values, ", ")
}

// refusal says what to write instead of a value that is not among those allowed.
func refusal(f Field, value string) string {
	switch {
	case f.Path == "apiVersion" || f.Path == "kind":
		return "this file was written for another version or program; see appliance config example"
	case len(f.Enum) == 1:
		return "use " + f.Enum[0]
	}
	return "remove the line to get the default"
}

// textOf writes a value as the file has it.
func textOf(value reflect.Value) string {
	if m, ok := reflect.TypeAssert[encoding.TextMarshaler](value); ok {
		text, err := m.MarshalText()
		if err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(value.Interface())
}

// limit reads a min or max tag in the notation of the field's type. A test reads them all, so a tag
// that cannot be read never gets here.
func limit(t reflect.Type, tag string) int64 {
	value := reflect.New(t)
	if text, ok := reflect.TypeAssert[encoding.TextUnmarshaler](value); ok {
		_ = text.UnmarshalText([]byte(tag))
		return value.Elem().Int()
	}
	n, _ := strconv.ParseInt(tag, 10, 64)
	return n
}
