package backup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"filippo.io/age"
)

// intro begins every age file.
const intro = "age-encryption.org/v1\n"

// Seal is what can be read of a backup without the key. It is in the age header as one more stanza, which other
// programs pass over; the key proves that it was not changed.
type Seal struct {
	Format    int
	Recipient string
	Bytes     int64 // of the whole file
}

const sealType = "islet-site-backup"

// sealRecipient puts a Seal in the header. The number has a fixed width: its own length counts.
type sealRecipient Seal

// Wrap implements age.Recipient. It does not give the file's key away.
func (s sealRecipient) Wrap([]byte) ([]*age.Stanza, error) {
	return []*age.Stanza{{Type: sealType, Args: []string{strconv.Itoa(s.Format), s.Recipient, fmt.Sprintf("%019d", s.Bytes)}}}, nil
}

func parseSeal(stanzas []*age.Stanza) (Seal, error) {
	for _, s := range stanzas {
		if s.Type != sealType {
			continue
		}
		if len(s.Args) == 0 {
			return Seal{}, fmt.Errorf("%w: its seal is empty", ErrAltered)
		}
		format, err := strconv.Atoi(s.Args[0])
		if err == nil && format > Format {
			return Seal{}, fmt.Errorf("%w: %d, and this program knows %d", ErrNewer, format, Format)
		}
		if err != nil || format < 1 || len(s.Args) != 3 {
			return Seal{}, fmt.Errorf("%w: its seal is not readable", ErrAltered)
		}
		size, err := strconv.ParseInt(s.Args[2], 10, 64)
		if err != nil || size < 0 {
			return Seal{}, fmt.Errorf("%w: its seal is not readable", ErrAltered)
		}
		return Seal{format, s.Args[1], size}, nil
	}
	return Seal{}, malformed("it is an age file of something else")
}

// ReadSeal reads the begin of a backup. Nothing proves yet that it is right.
func ReadSeal(ctx context.Context, r io.Reader) (Seal, error) {
	u := &unsealer{}
	if _, err := decrypt(&source{ctx: ctx, r: r}, u); !errors.Is(err, errOnlyLooking) {
		return Seal{}, err
	}
	return u.seal, nil
}

var errOnlyLooking = errors.New("the key was not asked for")

// unsealer opens the seal with a key; without one it only looks at it.
type unsealer struct {
	key  Key
	seal Seal
}

// Unwrap implements age.Identity.
func (u *unsealer) Unwrap(stanzas []*age.Stanza) (fileKey []byte, err error) {
	if u.seal, err = parseSeal(stanzas); err != nil {
		return nil, err
	}
	if u.key.identity == nil {
		return nil, errOnlyLooking
	}
	fileKey, err = u.key.identity.Unwrap(stanzas)
	switch {
	case err == nil:
		return fileKey, nil
	case !errors.Is(err, age.ErrIncorrectIdentity) || u.seal.Recipient == u.key.Recipient().String():
		return nil, fmt.Errorf("%w: its key is not readable", ErrAltered)
	}
	return nil, fmt.Errorf("%w, that of %.80s", ErrWrongKey, u.seal.Recipient)
}

// source counts what is read of a file and remembers how that ended.
type source struct {
	ctx   context.Context
	r     io.Reader
	read  int64
	ended bool
	err   error // of the reading itself: it says nothing about the file
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.err = s.ctx.Err(); s.err != nil {
		return 0, s.err
	}
	n, err := s.r.Read(p)
	s.read += int64(n)
	if errors.Is(err, io.EOF) {
		s.ended = true
	} else {
		s.err = err
	}
	return n, err
}

// decrypt reads the header and returns what follows. Its errors tell what is wrong with the file.
func decrypt(s *source, u *unsealer) (io.Reader, error) {
	file := bufio.NewReaderSize(s, 64<<10)
	begin, _ := file.Peek(len(intro)) // an error comes again
	head := string(begin)
	content, err := age.Decrypt(file, u)
	switch {
	case err == nil:
		return content, nil
	case s.err != nil:
		return nil, s.err
	case !strings.HasPrefix(intro, head):
		return nil, malformed("it does not begin like one")
	case len(head) < len(intro), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return nil, fmt.Errorf("%w: it has %d bytes", ErrTruncated, s.read)
	case judged(err), errors.Is(err, errOnlyLooking):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w", ErrAltered, err)
}

// judged says whether an error tells already what is wrong with the file.
func judged(err error) bool {
	for _, known := range []error{ErrNotBackup, ErrTruncated, ErrAltered, ErrWrongKey, ErrNewer} {
		if errors.Is(err, known) {
			return true
		}
	}
	return false
}

// plain is the decrypted content. Its errors tell what is wrong with the file.
type plain struct {
	source  *source
	seal    Seal
	content io.Reader
	err     error
}

func unseal(ctx context.Context, r io.Reader, key Key) (*plain, error) {
	s, u := &source{ctx: ctx, r: r}, &unsealer{key: key}
	content, err := decrypt(s, u)
	if err != nil {
		return nil, err
	}
	return &plain{source: s, seal: u.seal, content: content}, nil
}

// Read implements io.Reader.
func (p *plain) Read(b []byte) (int, error) {
	if p.err != nil {
		return 0, p.err
	}
	n, err := p.content.Read(b)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	switch s := p.source; {
	case s.err != nil:
		p.err = s.err
	case s.ended && s.read < p.seal.Bytes:
		p.err = fmt.Errorf("%w: it has %d of %d bytes", ErrTruncated, s.read, p.seal.Bytes)
	default:
		p.err = fmt.Errorf("%w: %w", ErrAltered, err)
	}
	return n, p.err
}
