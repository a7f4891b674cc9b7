// Package audit keeps a record of what people have done to the site, in which nothing can be changed, taken out or put in another
// order without being found: each entry carries the hash of the one before, and servers sign how far their chain has come.
package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Entry is one deed, a line of JSON in the journal.
type Entry struct {
	Chain  string    `json:"chain"` // the server that wrote it down, and which of its chains
	Seq    uint64    `json:"seq"`   // in its chain, from 1
	Time   time.Time `json:"time"`  // when the API had carried it out
	Who    string    `json:"who"`
	From   string    `json:"from,omitempty"` // address that it came from
	Verb   string    `json:"verb"`
	Object string    `json:"object"`           // RESOURCE/NAME, with the namespace before it
	Result int       `json:"result,omitempty"` // HTTP status: 403 was refused
	// Command is what the command line says it was, by whom on the server. It is as true as the server's root is.
	Command string `json:"command,omitempty"`
	Detail  string `json:"detail,omitempty"`
	Event   string `json:"event,omitempty"` // its id in the API server's own log, which has the whole request
	Prev    string `json:"prev"`            // hash of the entry before; empty in the first
	Hash    string `json:"hash"`
}

// VerbBegin is the verb of the first entry of a chain, and VerbLost that of one which says that events, or a whole chain, cannot be told any more.
const (
	VerbBegin = "begin"
	VerbLost  = "lost"
)

// maxLine bounds an entry.
const maxLine = 64 << 10

// ErrMalformed is returned for what is no entry, or no export.
var ErrMalformed = errors.New("this is no audit log")

// sum is the hash of everything in the entry but the hash itself.
func (e Entry) sum() (string, error) {
	e.Hash = ""
	raw, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256(raw)
	return hex.EncodeToString(digest[:]), nil
}

// seal puts an entry behind another, nil for none.
func (e Entry) seal(chain string, before *Entry) (Entry, error) {
	e.Chain, e.Seq, e.Prev = chain, 1, ""
	if before != nil {
		e.Seq, e.Prev = before.Seq+1, before.Hash
	}
	e.Time = e.Time.UTC().Truncate(time.Microsecond)
	var err error
	e.Hash, err = e.sum()
	return e, err
}

// decode reads a line. There is one way only to write an entry: a line that says the same otherwise is none.
func decode(line []byte) (Entry, error) {
	var e Entry
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&e); err != nil {
		return e, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	again, err := json.Marshal(e)
	if err != nil || !bytes.Equal(again, line) {
		return e, fmt.Errorf("%w: entry %d is not written as entries are", ErrMalformed, e.Seq)
	}
	return e, nil
}

// isIntact says whether the entry is what its hash says.
func (e Entry) isIntact() bool {
	sum, err := e.sum()
	return err == nil && sum == e.Hash
}
