package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"islet/appliance/atomicfile"
)

// Follower reads what the API server writes into its log, and goes on after a restart where it was.
type Follower struct {
	dir   string // of the API server's log
	state string // the file with the position
	at    position
}

// position is how far the log has been read.
type position struct {
	File   uint64 `json:"file"` // inode; 0 is the beginning
	Offset int64  `json:"offset"`
	// Last is when the last event was that has been read, and After the same when events were lost: what is older was read before.
	Last  time.Time `json:"last"`
	After time.Time `json:"after"`
}

// pollBytes is how much is read at a time.
const pollBytes = 4 << 20

// NewFollower reads the log in dir; state is the file that keeps the position.
func NewFollower(dir, state string) (*Follower, error) {
	f := &Follower{dir: dir, state: state}
	raw, err := os.ReadFile(state)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, &f.at)
	}
	return f, err
}

// Poll returns entries for what was written since, and Done must be called once they are kept. more says that there is more at once.
func (f *Follower) Poll(now time.Time) (entries []Entry, more bool, err error) {
	files, err := f.files()
	if err != nil || len(files) == 0 {
		return nil, false, err
	}
	i := slices.IndexFunc(files, func(l logFile) bool { return l.inode == f.at.File })
	if i < 0 {
		if f.at.File != 0 {
			entries = append(entries, Entry{Time: now, Who: "islet", Verb: VerbLost, Object: "events", Detail: "the API server's log was rotated away before it was read"})
		}
		i, f.at = 0, position{File: files[0].inode, Last: f.at.Last, After: f.at.Last}
	}
	read, whole, err := f.read(files[i].path)
	entries = append(entries, read...)
	if err == nil && whole && i+1 < len(files) { // nothing is added to one that was rotated
		f.at.File, f.at.Offset = files[i+1].inode, 0
		more = true
	}
	return entries, more || !whole, err
}

// Done keeps the position.
func (f *Follower) Done() error {
	raw, err := json.Marshal(f.at)
	if err != nil {
		return err
	}
	return atomicfile.WriteIfChanged(f.state, raw, 0o600)
}

// read goes on in a file. whole says that its end was reached.
func (f *Follower) read(path string) (entries []Entry, whole bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	buffer := make([]byte, min(max(info.Size()-f.at.Offset, 0)+1, pollBytes)) // one more, so that the end is seen
	n, err := file.ReadAt(buffer, f.at.Offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	whole = errors.Is(err, io.EOF)
	end := bytes.LastIndexByte(buffer[:n], '\n') + 1
	if end == 0 && !whole {
		return nil, false, fmt.Errorf("%w: a line of %s has more than %d bytes", ErrMalformed, path, pollBytes)
	}
	for line := range bytes.Lines(buffer[:end]) {
		e, ok, err := parseEvent(bytes.TrimSpace(line))
		if err != nil { // what a crash has left
			e, ok = Entry{Time: time.Now(), Who: "islet", Verb: VerbLost, Object: "events", Detail: "a line of the API server's log cannot be read"}, true
		}
		if !ok || e.Verb != VerbLost && !e.Time.After(f.at.After) && !f.at.After.IsZero() {
			continue
		}
		entries = append(entries, e)
		f.at.Last = e.Time
	}
	f.at.Offset += int64(end)
	return entries, whole, nil
}

type logFile struct {
	path  string
	inode uint64
}

// files are those of the log, the oldest first: lumberjack puts the time of the rotation into the names.
func (f *Follower) files() ([]logFile, error) {
	paths, err := filepath.Glob(filepath.Join(f.dir, "audit-*.log"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var out []logFile
	for _, path := range append(paths, filepath.Join(f.dir, "audit.log")) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return nil, fmt.Errorf("%s has no inode", path)
		}
		out = append(out, logFile{path, stat.Ino})
	}
	return out, nil
}
