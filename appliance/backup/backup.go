// Package backup seals a site into one file and takes it out again. The file is encrypted with age for a recovery key
// that the site itself does not have; inside is a tar of a manifest, the answer file, the authorities with their keys
// and secrets, and a verified snapshot of the datastore. `age -d` and tar can read it, too.
package backup

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"regexp"
	"strings"
	"time"
)

// Format is the version of the file's format that this program writes, and the newest that it reads.
const Format = 1

// What can be wrong. Each is wrapped in words that say more.
var (
	ErrNotBackup    = errors.New("this is no site backup")
	ErrTruncated    = errors.New("the backup is cut short")
	ErrAltered      = errors.New("the backup was altered after it was made, or is damaged")
	ErrWrongKey     = errors.New("the backup is sealed for another recovery key")
	ErrNotKey       = errors.New("this is no recovery key")
	ErrNewer        = errors.New("the backup has a newer format than this program knows")
	ErrNode         = errors.New("this machine is a node already")
	ErrOtherMachine = errors.New("the backup is of a machine with another name or address")
	ErrNoKey        = errors.New("this site has no recovery key")
	ErrIncomplete   = errors.New("something is missing that a site cannot be restored without")
)

// The paths in the tar.
const (
	manifestPath   = "manifest.json"
	configPath     = "config.yaml"
	pkiFolder      = "pki/"
	databaseFolder = "datastore/"
	generationPath = databaseFolder + "generation" // that a restored datastore is of; of etcd only
	maxManifest    = 1 << 20
	maxSmallFile   = 1 << 20
	maxFiles       = 500
)

// database is how one kind of datastore is kept in a backup.
type database struct {
	path  string
	magic string // that it has at the offset
	at    int
}

// databases lists the kinds. The snapshot of etcd is one of bbolt's files, whose first page begins with a header of 16 bytes.
var databases = map[string]database{
	"sqlite": {path: databaseFolder + "state.db", magic: "SQLite format 3\x00"},
	"etcd":   {path: databaseFolder + "etcd.db", magic: "\xed\xda\x0c\xed", at: 16},
	// A note of where the site's own database is: its content is not in the backup.
	"external": {path: databaseFolder + "external.json", magic: "{"},
}

// Manifest is the first thing in a backup and tells what the rest must be.
type Manifest struct {
	Format    int        `json:"format"`
	Site      string     `json:"site"`
	Node      string     `json:"node"`
	Address   netip.Addr `json:"address"` // of the node
	Appliance string     `json:"appliance"`
	Created   time.Time  `json:"created"`
	Datastore Datastore  `json:"datastore"`
	Files     []File     `json:"files"` // in their order
}

// Datastore is what the check of the snapshot said.
type Datastore struct {
	Kind     string `json:"kind"`
	Revision int64  `json:"revision"`
	Rows     int64  `json:"rows"`
}

// File is one file of a backup.
type File struct {
	Path   string `json:"path"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hexadecimal
}

// Contents is what was read out of a backup, but for the database.
type Contents struct {
	Manifest Manifest
	Config   []byte
	PKI      map[string][]byte // by file name
	// Generation is what the file of that name beside etcd's data is to say, nil for SQLite.
	Generation []byte
}

// pkiName is what a file of the PKI may be called: nothing that leads elsewhere, and nothing hidden.
var pkiName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,79}$`)

func decodeManifest(raw []byte, largest int64) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, malformed("its manifest: %v", err)
	}
	return m, m.validate(largest)
}

// validate refuses a manifest that describes no backup. The files together have at most largest bytes.
func (m Manifest) validate(largest int64) error {
	switch {
	case m.Format > Format:
		return fmt.Errorf("%w: %d, and this program knows %d", ErrNewer, m.Format, Format)
	case m.Format < 1:
		return malformed("its format is %d", m.Format)
	case m.Site == "" || m.Node == "" || !m.Address.IsValid():
		return malformed("its manifest does not name the site, the node and its address")
	case len(m.Files) > maxFiles:
		return malformed("it lists %d files", len(m.Files))
	}
	db, known := databases[m.Datastore.Kind]
	if !known {
		return malformed("its datastore is of the kind %.20q", m.Datastore.Kind)
	}
	seen := map[string]bool{}
	for _, f := range m.Files {
		if err := f.validate(db.path, largest); err != nil {
			return err
		}
		if seen[f.Path] {
			return malformed("%s is listed twice", f.Path)
		}
		seen[f.Path], largest = true, largest-f.Size
	}
	if !seen[configPath] || !seen[db.path] {
		return malformed("it lists no %s, or no %s", configPath, db.path)
	}
	return nil
}

func (f File) validate(database string, largest int64) error {
	if name, ok := strings.CutPrefix(f.Path, pkiFolder); f.Path != configPath && f.Path != generationPath && f.Path != database && (!ok || !pkiName.MatchString(name)) {
		return malformed("it lists a file %.80q", f.Path)
	}
	if f.Path != database {
		largest = min(largest, maxSmallFile)
	}
	if f.Size < 0 || f.Size > largest {
		return malformed("%s is said to have %d bytes", f.Path, f.Size)
	}
	return nil
}

// database is the path of the datastore's snapshot.
func (m Manifest) database() string { return databases[m.Datastore.Kind].path }

// folder returns the files below a folder of the backup, by their names there.
func (m Manifest) folder(folder string) map[string]File {
	files := map[string]File{}
	for _, f := range m.Files {
		if name, ok := strings.CutPrefix(f.Path, folder); ok {
			files[name] = f
		}
	}
	return files
}

// Bytes is what all files of the backup have together.
func (m Manifest) Bytes() (n int64) {
	for _, f := range m.Files {
		n += f.Size
	}
	return n
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotBackup, fmt.Sprintf(format, args...))
}

// suffix ends the name of every backup.
const suffix = ".islet-backup"

const stamp = "20060102T150405Z"

// Name is the file name of a site's backup.
func Name(site string, created time.Time) string {
	return site + "-" + created.UTC().Format(stamp) + suffix
}

// parseName is the opposite of Name.
func parseName(name string) (site string, created time.Time, err error) {
	base, ok := strings.CutSuffix(name, suffix)
	i := strings.LastIndexByte(base, '-')
	if !ok || i < 1 {
		return "", time.Time{}, fs.ErrInvalid
	}
	created, err = time.Parse(stamp, base[i+1:])
	return base[:i], created, err
}
