package audit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// exportFormat is the version of exported files.
const exportFormat = 1

// opening is the first line of an exported file.
type opening struct {
	Format      int       `json:"isletAudit"`
	Site        string    `json:"site"`
	Time        time.Time `json:"time"`
	Authorities [][]byte  `json:"authorities"` // DER
}

// line is any line after it: one of the fields is set.
type line struct {
	Entry *json.RawMessage `json:"entry,omitempty"`
	Head  *Head            `json:"head,omitempty"`
	End   *ending          `json:"end,omitempty"`
}

// ending is the last line, signed by the server that made the file.
type ending struct {
	Time        time.Time `json:"time"`
	SHA256      string    `json:"sha256"` // of all lines before
	Certificate []byte    `json:"certificate"`
	Signature   []byte    `json:"signature"`
}

func (e ending) statement() string {
	return fmt.Sprintf("islet audit export\n%s\n%s\n", e.SHA256, e.Time.UTC().Format(time.RFC3339Nano))
}

// Source is what an export is made of.
type Source struct {
	Site        string
	Dir         string // of the journal
	Heads       []Head // that others keep; the own one is added
	Node        tls.Certificate
	Authorities []*x509.Certificate
}

// Export writes the journal with all heads into a file that proves itself.
func Export(w io.Writer, s Source, now time.Time) (entries uint64, err error) {
	now = now.UTC().Truncate(time.Second)
	sum := sha256.New()
	out := json.NewEncoder(io.MultiWriter(w, sum))
	out.SetEscapeHTML(false)
	first := opening{Format: exportFormat, Site: s.Site, Time: now}
	for _, ca := range s.Authorities {
		first.Authorities = append(first.Authorities, ca.Raw)
	}
	if err := out.Encode(first); err != nil {
		return 0, err
	}
	var last Entry
	err = ReadAll(s.Dir, func(e Entry) error {
		raw, err := json.Marshal(e)
		if err != nil {
			return err
		}
		last, entries = e, entries+1
		_, err = fmt.Fprintf(io.MultiWriter(w, sum), "{\"entry\":%s}\n", raw)
		return err
	})
	if err != nil {
		return entries, err
	}
	heads := s.Heads
	if last.Seq > 0 {
		own, err := Sign(last, s.Node, now)
		if err != nil {
			return entries, err
		}
		heads = append(heads, own)
	}
	for _, h := range heads {
		if err := out.Encode(line{Head: &h}); err != nil {
			return entries, err
		}
	}
	end := ending{Time: now, SHA256: hex.EncodeToString(sum.Sum(nil)), Certificate: s.Node.Certificate[0]}
	if end.Signature, err = signText(end.statement(), s.Node); err != nil {
		return entries, err
	}
	return entries, out.Encode(line{End: &end})
}

// Imported is what an exported file says of itself.
type Imported struct {
	Site        string              `json:"site"`
	Time        time.Time           `json:"time"`
	Authorities []*x509.Certificate `json:"-"`
}

// VerifyFile reads an exported file to its end and tells what is wrong with it. trusted are the site's authorities; without any, those
// that the file itself names are believed. An error means that the file is none, or cannot be read.
func VerifyFile(r io.Reader, trusted []*x509.Certificate) (Imported, Report, error) {
	in := bufio.NewReaderSize(r, 4*maxLine)
	sum := sha256.New()
	head, err := next(in)
	if err != nil {
		return Imported{}, Report{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	about, err := open(head)
	if err != nil {
		return about, Report{}, err
	}
	if len(trusted) == 0 {
		trusted = about.Authorities
	}
	sum.Write(append(head, '\n'))
	v := NewVerifier(trusted)
	if err := v.lines(in, sum, trusted); err != nil {
		return about, Report{}, err
	}
	return about, v.Report(true), nil
}

func open(text []byte) (Imported, error) {
	var o opening
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || o.Format == 0 {
		return Imported{}, fmt.Errorf("%w: it does not begin like one", ErrMalformed)
	}
	if o.Format > exportFormat {
		return Imported{}, fmt.Errorf("%w: its format is %d, and this program knows %d", ErrMalformed, o.Format, exportFormat)
	}
	about := Imported{Site: o.Site, Time: o.Time}
	for _, der := range o.Authorities {
		ca, err := x509.ParseCertificate(der)
		if err != nil {
			return about, fmt.Errorf("%w: its authorities: %w", ErrMalformed, err)
		}
		about.Authorities = append(about.Authorities, ca)
	}
	return about, nil
}

// next is a line without its end; one that has none was cut.
func next(in *bufio.Reader) ([]byte, error) {
	text, err := in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(text) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	if err != nil {
		return nil, err
	}
	return bytes.Clone(text[:len(text)-1]), nil
}

func (v *Verifier) lines(in *bufio.Reader, sum hash.Hash, trusted []*x509.Certificate) error {
	for n := 2; ; n++ {
		text, err := next(in)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			v.found(KindCut, "", 0, "the file ends in line %d, before its signed end", n)
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
			v.found(KindMalformed, "", 0, "line %d is too long", n)
			return nil
		case err != nil:
			return err
		}
		var l line
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			v.found(KindMalformed, "", 0, "line %d cannot be read: %v", n, err)
			sum.Write(append(text, '\n'))
			continue
		}
		switch {
		case l.Entry != nil:
			e, err := decode(*l.Entry)
			if err != nil {
				v.found(KindMalformed, "", 0, "line %d: %v", n, err)
			} else {
				v.Entry(e)
			}
		case l.Head != nil:
			v.Head(*l.Head, false)
		case l.End != nil:
			v.end(in, *l.End, hex.EncodeToString(sum.Sum(nil)), trusted)
			return nil
		}
		sum.Write(append(text, '\n'))
	}
}

// end checks the last line.
func (v *Verifier) end(in *bufio.Reader, e ending, sum string, trusted []*x509.Certificate) {
	err := verifyText(e.statement(), e.Certificate, e.Signature, "", e.Time, trusted)
	switch {
	case err != nil:
		v.found(KindSignature, "", 0, "the end of the file: %v", err)
	case e.SHA256 != sum && len(v.findings) == 0:
		v.found(KindAltered, "", 0, "the file is not the one that was signed: lines are missing, altered or in another order")
	}
	if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
		v.found(KindMalformed, "", 0, "there is something behind the end of the file")
	}
}
