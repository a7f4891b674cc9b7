package config

import (
	"slices"
	"testing"
)

func TestParseDatabase(t *testing.T) {
	t.Parallel()
	for endpoint, want := range map[string]*Database{
		"postgres://islet@db.site.internal/islet":            {Kind: "postgres", User: "islet", Name: "islet", Addresses: []string{"db.site.internal:5432"}},
		"postgresql://a@10.0.0.1:5433,10.0.0.2/b?x=1":        {Kind: "postgres", User: "a", Name: "b", Addresses: []string{"10.0.0.1:5433", "10.0.0.2:5432"}},
		"postgres://a:secret@h/b":                            {Kind: "postgres", User: "a", Name: "b", Password: true, Addresses: []string{"h:5432"}},
		"postgres://a@h/b?sslmode=require&PassWord=x":        {Kind: "postgres", User: "a", Name: "b", Password: true, Addresses: []string{"h:5432"}},
		"mysql://islet@tcp(10.0.0.1:3307)/islet?charset=utf": {Kind: "mysql", User: "islet", Name: "islet", Addresses: []string{"10.0.0.1:3307"}},
		"mysql://a:p@ss@tcp(h)/b":                            {Kind: "mysql", User: "a", Name: "b", Password: true, Addresses: []string{"h:3306"}},
		"postgres://h/b":                                     nil,
		"postgres://a@h":                                     nil,
		"postgres://a@/b":                                    nil,
		"mysql://a@h/b":                                      nil,
		"mysql://a@unix(/x)/b":                               nil,
		"sqlite:///x":                                        nil,
		"":                                                   nil,
	} {
		got, ok := ParseDatabase(endpoint)
		if ok != (want != nil) {
			t.Errorf("%s: %t", endpoint, ok)
			continue
		}
		if ok && (got.Kind != want.Kind || got.User != want.User || got.Name != want.Name || got.Password != want.Password || !slices.Equal(got.Addresses, want.Addresses)) {
			t.Errorf("%s: %+v", endpoint, got)
		}
	}
}
