package sbom

import (
	"bytes"
	"errors"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

func TestModulesOfAnExecutable(t *testing.T) {
	t.Parallel()
	// Not this test's executable: test executables don't list their modules.
	program := filepath.Join(t.TempDir(), "build")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "islet/images/cmd/build").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	parts, err := Modules(program, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if parts[0].Name != "islet" || parts[1].Name != "std" {
		t.Errorf("first are %s and %s, want the main module and std", parts[0].Name, parts[1].Name)
	}
	i := slices.IndexFunc(parts, func(c Component) bool { return c.Name == "github.com/CycloneDX/cyclonedx-go" })
	if i < 0 || parts[i].PURL != "pkg:golang/github.com/CycloneDX/cyclonedx-go@"+parts[i].Version || len(parts[i].SHA256) != 64 {
		t.Errorf("cyclonedx-go is missing or wrong: %v", parts)
	}
}

func TestModulesOfSomethingElse(t *testing.T) {
	t.Parallel()
	if _, err := Modules("sbom_test.go", ""); err == nil {
		t.Error("no error")
	}
}

func TestEncode(t *testing.T) {
	t.Parallel()
	shared := Component{Name: "libc6", Version: "2", PURL: "pkg:deb/debian/libc6@2", Licenses: []string{"LGPL-2.1", "MIT"}}
	document := Document{
		Name: "x", Version: "v1", Subject: digest.FromString("manifest"), Created: time.Unix(1, 0),
		Files: []File{
			{Path: "bin/x", Digest: digest.FromString("x"), Parts: []Component{{Name: "islet", PURL: "pkg:golang/islet"}, shared}},
			{Path: "lib/y", Digest: digest.FromString("y"), Parts: []Component{shared}},
		},
	}
	first, err := document.Encode()
	if err != nil {
		t.Fatal(err)
	}
	second, err := document.Encode()
	if err != nil || !bytes.Equal(first, second) {
		t.Errorf("two encodings differ, error %v", err)
	}
	parts, err := Components(first)
	if err != nil || len(parts) != 2 || parts[0].Name != "libc6" || parts[1].Name != "islet" {
		t.Errorf("got %v, %v; want libc6 and islet once each", parts, err)
	}
	if _, err := Components([]byte(`{"bomFormat":"other"}`)); !errors.Is(err, ErrNoDocument) {
		t.Errorf("error %v, want ErrNoDocument", err)
	}
}

func TestRecognise(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ text, want string }{
		"apache":  {"  Apache License\n  Version 2.0, January 2004\n", "Apache-2.0"},
		"mit":     {"Permission is hereby granted, free of\ncharge, to any person obtaining a copy", "MIT"},
		"bsd 3":   {"Redistribution and use in source and binary forms ... Neither the name of", "BSD-3-Clause"},
		"bsd 2":   {"Redistribution and use in source and binary forms ... THIS SOFTWARE", "BSD-2-Clause"},
		"lgpl":    {"GNU LESSER GENERAL PUBLIC LICENSE Version 3 ... GNU General Public License", "LGPL-3.0"},
		"unknown": {"all rights reserved", ""},
	}
	for name, test := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Recognise(test.text); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}
