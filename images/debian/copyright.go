package debian

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
)

// licenseField is the License field of Debian's machine-readable copyright format 1.0.
var licenseField = regexp.MustCompile(`(?m)^License:[ \t]*(\S[^\n]*?)[ \t]*$`)

// commonLicense is how the free-form files refer to a license text that Debian installs once.
var commonLicense = regexp.MustCompile(`/usr/share/common-licenses/([A-Za-z]+(?:-[0-9](?:\.[0-9])?)?)`)

// Licenses returns the short names of the licenses in the copyright file of a package unpacked under root, sorted;
// none if the file is missing or says nothing a program can read.
func Licenses(root, name string) ([]string, error) {
	content, err := os.ReadFile(filepath.Join(root, "usr/share/doc", name, "copyright"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	matches := licenseField.FindAllSubmatch(content, -1)
	if len(matches) == 0 {
		matches = commonLicense.FindAllSubmatch(content, -1)
	}
	var names []string
	for _, match := range matches {
		names = append(names, string(match[1]))
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}
