package config

import (
	"path/filepath"
	"regexp"
	"strings"
)

// The forms of names, from RFC 1123 and the Kubernetes API conventions.
var (
	labelForm      = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)
	qualifiedForm  = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$`)
	labelValueForm = regexp.MustCompile(`^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$`)
)

func isLabel(s string) bool { return labelForm.MatchString(s) }

func isDomain(s string) bool {
	if len(s) > 253 {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isLabelKey accepts an optional DNS prefix and a name: example.com/rack.
func isLabelKey(s string) bool {
	prefix, name, found := strings.Cut(s, "/")
	if !found {
		return qualifiedForm.MatchString(s)
	}
	return isDomain(prefix) && qualifiedForm.MatchString(name)
}

func isLabelValue(s string) bool { return labelValueForm.MatchString(s) }

func isCleanPath(s string) bool { return filepath.IsAbs(s) && filepath.Clean(s) == s && s != "/" }

// format is a named form of text, with how to say that it was missed.
type format struct {
	accepts func(string) bool
	missed  string
	advice  string
}

// recipientForm is what age writes: Bech32 of a key of X25519.
var recipientForm = regexp.MustCompile(`^age1[02-9ac-hj-np-z]{58}$`)

// formats are the values of the format tag.
var formats = map[string]format{
	"recipient": {recipientForm.MatchString, "not the public half of a recovery key", "copy it as `appliance backup key show` prints it: age1 and 58 letters and digits"},
	"label":     {isLabel, "not a DNS label", "use lower-case letters, digits and dashes, at most 63, with a letter or digit at both ends"},
	"domain":    {isDomain, "not a DNS domain", "use lower-case labels joined by dots, such as apps.site.internal"},
	"database":  {isDatabase, "not where a database is", "write it as postgres://USER@HOST:PORT/DATABASE or mysql://USER@tcp(HOST:PORT)/DATABASE"},
	"path":      {isCleanPath, "not a clean absolute path", "start it with /, without .., double or trailing slashes, and not / itself"},
}
