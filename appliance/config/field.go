package config

import (
	"encoding"
	"net/netip"
	"reflect"
	"strings"
)

// Field is one field of the answer file as its tags declare it.
type Field struct {
	Path    string   // network.podCIDR
	Name    string   // podCIDR
	Doc     string   // one or two sentences
	Empty   string   // what an empty or zero value means; "" when it is not allowed or not special
	Enum    []string // the allowed values, when they are few
	Min     string   // in the field's own notation
	Max     string
	Format  string // a key of formats
	Section bool   // has fields of its own
	Type    reflect.Type
	index   int
}

// fieldsOf lists the fields of a section in the order of their declaration.
func fieldsOf(section reflect.Type, path string) []Field {
	fields := make([]Field, 0, section.NumField())
	for i := range section.NumField() {
		f := section.Field(i)
		field := Field{
			Path:   join(path, f.Tag.Get("yaml")),
			Name:   f.Tag.Get("yaml"),
			Doc:    f.Tag.Get("doc"),
			Empty:  f.Tag.Get("empty"),
			Min:    f.Tag.Get("min"),
			Max:    f.Tag.Get("max"),
			Format: f.Tag.Get("format"),
			Type:   f.Type,
			index:  i,
		}
		if enum := f.Tag.Get("enum"); enum != "" {
			field.Enum = strings.Split(enum, ",")
		}
		field.Section = isSection(f.Type)
		fields = append(fields, field)
	}
	return fields
}

// Fields lists every field of the answer file, sections before their fields.
func Fields() []Field { return fieldsBelow(reflect.TypeFor[Config](), "") }

func fieldsBelow(section reflect.Type, path string) []Field {
	var all []Field
	for _, field := range fieldsOf(section, path) {
		all = append(all, field)
		if field.Section {
			all = append(all, fieldsBelow(field.Type, field.Path)...)
		}
	}
	return all
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// isSection tells structs that are mappings from those written as one text.
func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && !isText(t)
}

func isText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// notation is how values of a type are written: what to say when text is not one, and an example.
type notation struct{ missed, advice string }

func notationOf(t reflect.Type) notation {
	switch t {
	case reflect.TypeFor[netip.Addr]():
		return notation{"not an IP address", "write it as 192.0.2.10"}
	case reflect.TypeFor[netip.Prefix]():
		return notation{"not a network", "write it as address/bits, such as 10.42.0.0/16"}
	case reflect.TypeFor[Duration]():
		return notation{"not a duration", "write a number and its unit, such as 90s, 5m or 12h"}
	case reflect.TypeFor[Size]():
		return notation{"not a size", "write a whole number of bytes, or one with Ki, Mi, Gi or Ti, such as 512Mi"}
	case reflect.TypeFor[CPU]():
		return notation{"not an amount of processor time", "write it as 250m (a quarter of a processor), 1 or 1.5"}
	case reflect.TypeFor[PortRange]():
		return notation{"not a range of ports", "write it as first-last, such as 30000-32767"}
	case reflect.TypeFor[Taint]():
		return notation{"not a taint", "write it as key=value:Effect, with NoSchedule, PreferNoSchedule or NoExecute"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return notation{"not true or false", "write true or false, without quotes"}
	case reflect.Int:
		return notation{"not a whole number", "write digits only, without quotes"}
	default:
		return notation{"not text", "write one value"}
	}
}
