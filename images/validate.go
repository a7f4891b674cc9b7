package images

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

var (
	sha256Hex   = regexp.MustCompile(`^[0-9a-f]{64}$`)
	nameRule    = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*$`)
	numericUser = regexp.MustCompile(`^[0-9]+(:[0-9]+)?$`)
)

// validate reports everything that is wrong with the lock file, and gives images that share files those files.
func (l *Lock) validate() error {
	var problems []error
	report := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if l.Format != 1 {
		report("format: %d, this program reads 1", l.Format)
	}
	if l.SourceDateEpoch <= 0 {
		report("sourceDateEpoch: %d is no time", l.SourceDateEpoch)
	}
	for i, p := range l.Debian.Packages {
		if p.Name == "" || p.Version == "" || p.Arch == "" || !sha256Hex.MatchString(p.SHA256) {
			report("debian.packages[%d] (%s): needs name, version, arch and a sha256 of 64 hex digits", i, p.Name)
		}
	}
	for i, s := range l.Debian.Sources {
		if s.Name == "" || s.Version == "" || s.File != path.Base(s.File) || s.License == "" || !sha256Hex.MatchString(s.SHA256) {
			report("debian.sources[%d] (%s): needs name, version, license, the name of a file and a sha256 of 64 hex digits", i, s.Name)
		}
	}
	names := map[string]bool{}
	for i, e := range l.Engines {
		if !nameRule.MatchString(e.Name) || names[e.Name] || e.Version == "" {
			report("engines[%d] (%s): needs a version, and a name of its own", i, e.Name)
		}
		names[e.Name] = true
		if e.Budget.RawMiB <= 0 || e.Budget.CompressedMiB <= 0 {
			report("engines[%d] (%s): needs a budget", i, e.Name)
		}
		for j, rule := range e.Forbid {
			if rule.Package == "" || rule.Reason == "" {
				report("engines[%d].forbid[%d]: needs package and reason", i, j)
			}
		}
		problems = append(problems, validateFiles(fmt.Sprintf("engines[%d]", i), e.Files)...)
	}
	problems = append(problems, l.validateImages()...)
	return errors.Join(problems...)
}

func (l *Lock) validateImages() []error {
	var problems []error
	byName := map[string]Image{}
	for i, image := range l.Images {
		where := fmt.Sprintf("images[%d]", i)
		if _, twice := byName[image.Name]; twice || !nameRule.MatchString(image.Name) || image.Version == "" || image.Reference == "" {
			problems = append(problems, fmt.Errorf("%s (%s): needs reference, version, and a name of its own", where, image.Name))
		}
		if image.User != "" && !numericUser.MatchString(image.User) {
			problems = append(problems, fmt.Errorf("%s.user: %q is not numeric; the kubelet could not tell that it is not root", where, image.User))
		}
		if isRoot := strings.HasPrefix(image.User+":", "0:"); isRoot && image.Because == "" {
			problems = append(problems, fmt.Errorf("%s.because: say why it runs as root", where))
		}
		if shared := image.SharesFiles; shared != "" {
			if _, ok := byName[shared]; !ok || len(image.Files) > 0 {
				problems = append(problems, fmt.Errorf("%s.sharesFiles: %q is no image listed before, or the image has files too", where, shared))
			}
			image.Files = byName[shared].Files
			l.Images[i].Files = image.Files
		}
		if len(image.Files) == 0 && image.Root == nil {
			problems = append(problems, fmt.Errorf("%s: has no files", where))
		}
		if r := image.Root; r != nil && (len(r.Packages) == 0 || len(r.Programs) == 0) {
			problems = append(problems, fmt.Errorf("%s.root: needs packages and programs", where))
		}
		problems = append(problems, validateFiles(where, image.Files)...)
		byName[image.Name] = image
	}
	return problems
}

func validateFiles(where string, files []File) []error {
	var problems []error
	for i, file := range files {
		ways := 0
		for _, given := range []bool{file.Go != nil, file.C != nil, file.Make != nil} {
			if given {
				ways++
			}
		}
		if ways != 1 {
			problems = append(problems, fmt.Errorf("%s.files[%d]: needs exactly one of go, c and make", where, i))
		}
		if clean := path.Clean("/" + file.Path)[1:]; clean != file.Path || clean == "" {
			problems = append(problems, fmt.Errorf("%s.files[%d].path: %q is not a clean relative path", where, i, file.Path))
		}
	}
	return problems
}
