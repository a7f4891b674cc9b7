package trust

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// DefaultDir is where a site adds keys of its own, one or more per *.pub file.
const DefaultDir = "/etc/appliance/trust.d"

// rootKeys is set by the build: -ldflags "-X islet/bundle/trust.rootKeys=CLASS:NAME:BASE64[,...]".
var rootKeys string

// Set is the keys a reader accepts signatures from. The zero Set accepts none. A Set is immutable.
type Set struct {
	keys    []Key
	lenient bool
}

// NewSet makes a Set of the given keys.
func NewSet(keys ...Key) Set {
	return Set{keys: append([]Key(nil), keys...)}
}

// Lenient returns a copy that lets a reader open bundles that are unsigned or signed by an unknown key. It is for looking
// at a bundle (inspect, diff), never for using one; the reader still reports the signature's state, and a signature that
// does not match its known key is refused all the same.
func (s Set) Lenient() Set {
	s.lenient = true
	return s
}

// IsLenient reports whether the Set was made by Lenient.
func (s Set) IsLenient() bool { return s.lenient }

// Keys returns a copy of the keys.
func (s Set) Keys() []Key { return append([]Key(nil), s.keys...) }

// Lookup returns the keys with the given ID; more than one only on a collision of IDs.
func (s Set) Lookup(id string) []Key {
	var found []Key
	for _, k := range s.keys {
		if k.ID() == id {
			found = append(found, k)
		}
	}
	return found
}

// Roots returns the keys compiled into this executable, none if the build gave none.
func Roots() ([]Key, error) { return parseList(rootKeys) }

// Load returns the compiled-in keys and those of the *.pub files in dir, in the order of their names. A dir that does not
// exist adds nothing. A file that others than its owner can write is refused: it would let them choose what the site runs.
func Load(dir string) (Set, error) {
	keys, err := Roots()
	if err != nil {
		return Set{}, fmt.Errorf("compiled-in keys: %w", err)
	}
	paths, err := filepath.Glob(filepath.Join(dir, "*.pub"))
	if err != nil {
		return Set{}, fmt.Errorf("list keys in %s: %w", dir, err)
	}
	for _, path := range paths {
		more, err := ReadFile(path)
		if err != nil {
			return Set{}, err
		}
		keys = append(keys, more...)
	}
	return NewSet(keys...), nil
}

// ReadFile reads a .pub file: one key per line in text form; empty lines and lines that start with # are skipped.
func ReadFile(path string) (keys []Key, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fmt.Errorf("read key %s: %w: mode %04o lets others change it, want 0644", path, ErrKey, info.Mode().Perm())
	}
	const maxSize = 1 << 20
	if !info.Mode().IsRegular() || info.Size() > maxSize {
		return nil, fmt.Errorf("read key %s: %w: not a small regular file", path, ErrKey)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	for n, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		k, err := ParseKey(line)
		if err != nil {
			return nil, fmt.Errorf("read key %s line %d: %w", path, n+1, err)
		}
		keys = append(keys, k)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read key %s: %w: no key in it", path, ErrKey)
	}
	return keys, nil
}

func parseList(list string) (keys []Key, err error) {
	var problems []error
	for text := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(text) == "" {
			continue
		}
		k, err := ParseKey(text)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		keys = append(keys, k)
	}
	return keys, errors.Join(problems...)
}
