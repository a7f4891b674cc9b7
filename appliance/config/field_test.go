package config

import (
	"encoding"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestEveryFieldDeclaresItselfWell(t *testing.T) {
	t.Parallel()
	for _, f := range Fields() {
		if f.Name == "" || !strings.HasSuffix(f.Doc, ".") {
			t.Errorf("%s (%s): wants a yaml name and a doc sentence, has %q", f.Path, f.Type, f.Doc)
		}
		if _, found := formats[f.Format]; f.Format != "" && !found {
			t.Errorf("%s: format %q is not known", f.Path, f.Format)
		}
		for _, tag := range []string{f.Min, f.Max} {
			if tag != "" && !readable(f.Type, tag) {
				t.Errorf("%s: limit %q is not a %s", f.Path, tag, f.Type)
			}
		}
		if strings.HasSuffix(f.Empty, ".") {
			t.Errorf("%s: empty tag %q is not a phrase", f.Path, f.Empty)
		}
	}
}

func readable(t reflect.Type, text string) bool {
	if m, ok := reflect.TypeAssert[encoding.TextUnmarshaler](reflect.New(t)); ok {
		return m.UnmarshalText([]byte(text)) == nil
	}
	_, err := strconv.Atoi(text)
	return err == nil && t.Kind() == reflect.Int
}

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	if warnings, err := Default().Validate(); err != nil || len(warnings) > 0 {
		t.Errorf("got %v, warnings %v", err, warnings)
	}
}

func TestValidateFindsWhatWasBuiltInMemory(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Gateway.HTTPPort = c.Gateway.HTTPSPort
	_, err := c.Validate()
	if want := "gateway.httpsPort: 443 is taken by gateway.httpPort; choose another port"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The schema must accept the defaults by name: every field once, and nothing else.
func TestSchemaNamesEveryField(t *testing.T) {
	t.Parallel()
	text, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var root schema
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	for _, f := range Fields() {
		at := &root
		for name := range strings.SplitSeq(f.Path, ".") {
			if at = at.Properties[name]; at == nil {
				t.Fatalf("%s is not in the schema", f.Path)
			}
		}
		if !strings.HasPrefix(at.Description, f.Doc) {
			t.Errorf("%s: described as %q", f.Path, at.Description)
		}
	}
	golden(t, "testdata/schema.json", string(text)+"\n")
}

func TestScalarsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	type text interface {
		encoding.TextUnmarshaler
		encoding.TextMarshaler
	}
	for _, c := range []struct {
		name     string
		into     text
		in, want string
	}{
		{"whole hours", new(Duration), "60m", "1h"},
		{"hours and minutes", new(Duration), "90m", "1h30m"},
		{"seconds", new(Duration), "1h0m5s", "1h0m5s"},
		{"zero duration", new(Duration), "0s", "0s"},
		{"ten minutes", new(Duration), "10m", "10m"},
		{"binary", new(Size), "1024Mi", "1Gi"},
		{"decimal", new(Size), "1k", "1000"},
		{"bytes", new(Size), "0", "0"},
		{"thousandths", new(CPU), "0.25", "250m"},
		{"whole", new(CPU), "2000m", "2"},
		{"part of a unit", new(CPU), "1.05", "1050m"},
		{"range", new(PortRange), "1-65535", "1-65535"},
		{"taint", new(Taint), "a=b:NoExecute", "a=b:NoExecute"},
		{"taint without value", new(Taint), "example.com/a:NoSchedule", "example.com/a:NoSchedule"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if err := c.into.UnmarshalText([]byte(c.in)); err != nil {
				t.Fatal(err)
			}
			if got, err := c.into.MarshalText(); err != nil || string(got) != c.want {
				t.Errorf("got %s (%v), want %s", got, err, c.want)
			}
		})
	}
}
