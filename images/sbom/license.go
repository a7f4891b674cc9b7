package sbom

import (
	"slices"
	"strings"
)

// licenseTexts maps what a license text says in its own words to its SPDX identifier. The first entry of which all
// phrases are found wins, so the more particular texts come first.
var licenseTexts = []struct {
	id      string
	phrases []string
}{
	{"Apache-2.0", []string{"apache license", "version 2.0, january 2004"}},
	{"MPL-2.0", []string{"mozilla public license version 2.0"}},
	{"MPL-2.0", []string{"mozilla public license, version 2.0"}},
	{"AGPL-3.0", []string{"gnu affero general public license", "version 3"}},
	{"LGPL-3.0", []string{"gnu lesser general public license", "version 3"}},
	{"LGPL-2.1", []string{"gnu lesser general public license", "version 2.1"}},
	{"GPL-3.0", []string{"gnu general public license", "version 3"}},
	{"GPL-2.0", []string{"gnu general public license", "version 2"}},
	{"EPL-2.0", []string{"eclipse public license - v 2.0"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-3-Clause", []string{"redistribution and use in source and binary forms", "names of its contributors may not"}},
	{"BSD-2-Clause", []string{"redistribution and use in source and binary forms"}},
	{"ISC", []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"ISC", []string{"permission to use, copy, modify, and distribute this software for any purpose"}},
	{"MIT", []string{"permission is hereby granted, free of charge, to any person obtaining a copy"}},
	{"CC0-1.0", []string{"cc0 1.0 universal"}},
	{"Unlicense", []string{"this is free and unencumbered software released into the public domain"}},
}

var isSPDX = func() map[string]bool {
	ids := map[string]bool{}
	for _, text := range licenseTexts {
		// SPDX has replaced the bare GNU identifiers by -only and -or-later; which one, a license text does not say.
		ids[text.id] = !strings.Contains(text.id, "GPL")
	}
	return ids
}()

// Recognise returns the SPDX identifier of a license text, or an empty string.
func Recognise(text string) string {
	words := strings.Join(strings.Fields(strings.ToLower(text)), " ")
	for _, license := range licenseTexts {
		if !slices.ContainsFunc(license.phrases, func(phrase string) bool { return !strings.Contains(words, phrase) }) {
			return license.id
		}
	}
	return ""
}

func sortedUnique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
