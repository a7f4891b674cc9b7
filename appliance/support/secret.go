package support

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"islet/appliance/layout"
	"islet/appliance/redact"
)

// Secrets are the values on this node that may be in no bundle: its keys, what its secrets are encrypted with, the password of
// the site's own database, and the hashes of the registry's passwords. What cannot be read is left out, which the redaction by shape and name makes up for.
func Secrets(l layout.Layout) []string {
	var values []string
	_ = filepath.WalkDir(l.PKI(), func(path string, entry fs.DirEntry, err error) error { // a bundle is made in any case
		if err == nil && entry.Type().IsRegular() && isSecret(path) {
			if content, err := os.ReadFile(path); err == nil {
				values = append(values, redact.Values(content)...)
			}
		}
		return nil
	})
	content, err := os.ReadFile(filepath.Join(l.Generated(), "registry", "users.json"))
	var users any
	if err == nil && json.Unmarshal(content, &users) == nil {
		values = append(values, stringsIn(users)...)
	}
	return values
}

func isSecret(path string) bool {
	return slices.ContainsFunc([]string{".key", ".secret", ".password", "-key.pem"}, func(ending string) bool { return strings.HasSuffix(path, ending) })
}

// stringsIn lists the long texts of a document: hashes, not names.
func stringsIn(v any) []string {
	const hash = 32
	var found []string
	switch v := v.(type) {
	case string:
		if len(v) >= hash {
			found = append(found, v)
		}
	case map[string]any:
		for _, field := range v {
			found = append(found, stringsIn(field)...)
		}
	case []any:
		for _, item := range v {
			found = append(found, stringsIn(item)...)
		}
	}
	return found
}
