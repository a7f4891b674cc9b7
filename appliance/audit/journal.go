package audit

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"islet/appliance/atomicfile"
)

// rotateAt is the size at which a journal goes on in another file. Files are never removed: an entry is about 600 bytes.
const rotateAt = 8 << 20

// Journal is a server's chain on its disk. One process writes it.
type Journal struct {
	dir  string
	size int64 // at which it goes on in another file
	file *os.File
	last Entry
	seen map[string]bool // events of the last entries when it was opened: they may come again
}

// remembered is how much of the journal is looked at for events that are in it already.
const remembered = 500

// Open goes on with the chain in dir, or begins one for the node. What was being written when the power went is taken back: it
// was never acknowledged.
func Open(dir, node string, now time.Time) (*Journal, error) {
	return openJournal(dir, node, now, rotateAt)
}

func openJournal(dir, node string, now time.Time, size int64) (*Journal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	files, err := Files(dir)
	if err != nil {
		return nil, err
	}
	j := &Journal{dir: dir, size: size, seen: map[string]bool{}}
	if len(files) == 0 {
		return j, j.begin(node, now)
	}
	newest := files[len(files)-1]
	if err := dropTorn(newest); err != nil {
		return nil, err
	}
	var recent []string
	for _, path := range files[max(0, len(files)-2):] {
		err := Read(path, func(e Entry) error {
			j.last, recent = e, append(recent, e.Event)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
	}
	if j.last.Seq == 0 {
		return nil, fmt.Errorf("%s: %w: it is empty", newest, ErrMalformed)
	}
	for _, event := range recent[max(0, len(recent)-remembered):] {
		j.seen[event] = true
	}
	j.file, err = os.OpenFile(newest, os.O_WRONLY|os.O_APPEND, 0o600)
	return j, err
}

// begin makes the first entry of a chain. Its name cannot be foretold: a journal that was removed has no second one of its name.
func (j *Journal) begin(node string, now time.Time) error {
	id := make([]byte, 4)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	chain := node + "/" + hex.EncodeToString(id)
	first, err := Entry{Time: now, Who: "islet", Verb: VerbBegin, Object: "chains/" + chain}.seal(chain, nil)
	if err != nil {
		return err
	}
	return j.write([]Entry{first})
}

// Last is the entry that the chain ends with.
func (j *Journal) Last() Entry { return j.last }

// Append puts entries behind the last one, and returns when they are on the disk. Those of events that are there already are left out.
func (j *Journal) Append(entries ...Entry) error {
	var fresh []Entry
	before := j.last
	for _, e := range entries {
		if e.Event != "" && j.seen[e.Event] {
			continue
		}
		sealed, err := e.seal(j.last.Chain, &before)
		if err != nil {
			return err
		}
		before = sealed
		fresh = append(fresh, sealed)
	}
	return j.write(fresh)
}

func (j *Journal) write(entries []Entry) error {
	if len(entries) == 0 {
		return nil
	}
	var text bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	if err := j.room(entries[0].Seq); err != nil {
		return err
	}
	if _, err := j.file.Write(text.Bytes()); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	if err := j.file.Sync(); err != nil {
		return fmt.Errorf("write the audit log: %w", err)
	}
	j.last = entries[len(entries)-1]
	return nil
}

// room goes on in a file that begins with seq, once the current one is full.
func (j *Journal) room(seq uint64) error {
	if j.file != nil {
		info, err := j.file.Stat()
		if err != nil || info.Size() < j.size {
			return err
		}
		if err := j.file.Close(); err != nil {
			return err
		}
	}
	var err error
	if j.file, err = os.OpenFile(filepath.Join(j.dir, fmt.Sprintf("%012d.jsonl", seq)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600); err != nil {
		return err
	}
	return atomicfile.SyncDir(j.dir)
}

// Close closes the journal's file.
func (j *Journal) Close() error {
	if j.file == nil {
		return nil
	}
	return j.file.Close()
}

// Files are those of a journal, in the order of their entries.
func Files(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	slices.Sort(found)
	return found, err
}

// dropTorn takes back what follows the last line.
func dropTorn(path string) error {
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(raw, '\n') + 1
	if whole == len(raw) {
		return nil
	}
	if whole == 0 {
		return os.Remove(path) // the first line of a new file
	}
	return os.Truncate(path, int64(whole))
}

// Read calls do for the entries of a file. A line that is still being written is left out.
func Read(path string, do func(Entry) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	in := bufio.NewReaderSize(f, maxLine)
	for {
		line, err := in.ReadSlice('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		e, err := decode(line[:len(line)-1])
		if err == nil {
			err = do(e)
		}
		if err != nil {
			return err
		}
	}
}

// ReadAll calls do for all entries of a journal; a journal that is not there has none.
func ReadAll(dir string, do func(Entry) error) error {
	files, err := Files(dir)
	if err != nil {
		return err
	}
	for _, path := range files {
		if err := Read(path, do); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return nil
}
