// Package join lets machines into a site: tokens, the endpoints that a server offers to machines that hold one, and what
// such a machine does with it.
package join

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/netip"
	"slices"
	"strings"

	"islet/appliance/config"
)

// The ways in which a text is no token of ours.
var (
	ErrNotToken = errors.New("this is not a join token")
	ErrMistyped = errors.New("the join token has a typing error, or a part of it is missing")
	ErrNewer    = errors.New("the join token was made by a newer version")
)

// DefaultPort is where a server listens for machines that join, and for other nodes.
const DefaultPort = 9443

const (
	tokenPrefix  = "islet-"
	tokenVersion = 1
	maxServers   = 9
	checkBytes   = 4
)

// tokenEncoding is Crockford's base 32: letters that look like digits are not used, and taken for them when read.
var tokenEncoding = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// ID names a token where its secret must not be seen.
type ID [5]byte

// String writes eight characters, such as "h3x0c9ja".
func (id ID) String() string { return tokenEncoding.EncodeToString(id[:]) }

// ParseID reads what String wrote.
func ParseID(text string) (ID, error) {
	var id ID
	raw, err := tokenEncoding.DecodeString(fold(text))
	if err != nil || len(raw) != len(id) {
		return id, fmt.Errorf("%q is not the id of a token: want the eight characters that `appliance token list` shows", text)
	}
	return ID(raw), nil
}

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Pin is the first half of the SHA-256 of the subject public key info of an authority (RFC 7469 pins all of it): 128
// bits are far more than a forger can search for a second key, and half as much to type.
type Pin [16]byte

// PinOf makes the pin of an authority's certificate. It stays the same when the certificate is renewed with its key.
func PinOf(ca *x509.Certificate) Pin {
	sum := sha256.Sum256(ca.RawSubjectPublicKeyInfo)
	return Pin(sum[:])
}

// Matches compares the pin with an authority.
func (p Pin) Matches(ca *x509.Certificate) bool {
	other := PinOf(ca)
	return subtle.ConstantTimeCompare(p[:], other[:]) == 1
}

// Secret proves that who joins was let in.
type Secret [16]byte

// Hash is what a site keeps of a secret. A plain hash is enough: nobody can try all 128-bit secrets.
func (s Secret) Hash() [sha256.Size]byte { return sha256.Sum256(s[:]) }

// MarshalText and UnmarshalText are how a secret goes to a server, and nowhere else.
func (s Secret) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Secret) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return fmt.Errorf("a secret is %d hexadecimal digits", hex.EncodedLen(len(s)))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Format implements fmt.Formatter: a secret is never printed.
func (s Secret) Format(f fmt.State, _ rune) { fmt.Fprint(f, "(secret)") }

// LogValue implements slog.LogValuer, for the same reason.
func (s Secret) LogValue() slog.Value { return slog.StringValue("(secret)") }

// Token is what a technician carries to a new machine.
type Token struct {
	ID      ID
	Secret  Secret
	Role    config.Role
	Pin     Pin              // of the site's authority for nodes
	Servers []netip.AddrPort // where to knock, one to nine
}

// tokenRoles are the roles by the number that a token holds.
var tokenRoles = []config.Role{config.RoleServer, config.RoleAgent}

// NewToken makes a token with a fresh id and secret.
func NewToken(role config.Role, pin Pin, servers []netip.AddrPort) (Token, error) {
	t := Token{Role: role, Pin: pin, Servers: servers}
	if !slices.Contains(tokenRoles, role) {
		return t, fmt.Errorf("no token for the role %q: a node is one of %v", role, tokenRoles)
	}
	if len(servers) < 1 || len(servers) > maxServers {
		return t, fmt.Errorf("a token names 1 to %d servers, not %d", maxServers, len(servers))
	}
	rand.Read(t.ID[:])
	rand.Read(t.Secret[:])
	return t, nil
}

// String writes the token as it is typed: about 90 characters for one server, in groups of eight.
func (t Token) String() string {
	raw := []byte{tokenVersion, byte(slices.Index(tokenRoles, t.Role)), byte(len(t.Servers))}
	for _, s := range t.Servers {
		// Most servers are at the default port: then it is left out.
		kind := byte(s.Addr().BitLen()/8) << 1
		if s.Port() != DefaultPort {
			kind |= 1
		}
		raw = append(append(raw, kind), s.Addr().AsSlice()...)
		if kind&1 == 1 {
			raw = binary.BigEndian.AppendUint16(raw, s.Port())
		}
	}
	raw = slices.Concat(raw, t.Pin[:], t.ID[:], t.Secret[:])
	return seal(raw)
}

// seal appends the check sum and writes the groups.
func seal(raw []byte) string {
	raw = binary.BigEndian.AppendUint32(raw, crc32.ChecksumIEEE(raw))
	var groups []string
	for group := range slices.Chunk([]byte(tokenEncoding.EncodeToString(raw)), 8) {
		groups = append(groups, string(group))
	}
	return tokenPrefix + strings.Join(groups, "-")
}

// LogValue implements slog.LogValuer: the secret stays out of logs.
func (t Token) LogValue() slog.Value { return slog.StringValue("token " + t.ID.String()) }

// Format implements fmt.Formatter, for the same reason: only String gives the secret away.
func (t Token) Format(f fmt.State, _ rune) { fmt.Fprint(f, "token ", t.ID.String()) }

// ParseToken reads a token as String writes it or as somebody types it: spaces, line breaks, dashes and case are free.
// Its error is ErrNotToken, ErrMistyped or ErrNewer.
func ParseToken(text string) (Token, error) {
	body, found := strings.CutPrefix(strings.ToLower(strings.Join(strings.Fields(text), "")), tokenPrefix)
	if !found {
		return Token{}, fmt.Errorf("%w: it begins with %q", ErrNotToken, tokenPrefix)
	}
	raw, err := tokenEncoding.DecodeString(fold(body))
	if err != nil || len(raw) < checkBytes+1 {
		return Token{}, ErrMistyped
	}
	content, check := raw[:len(raw)-checkBytes], raw[len(raw)-checkBytes:]
	if crc32.ChecksumIEEE(content) != binary.BigEndian.Uint32(check) {
		return Token{}, ErrMistyped
	}
	if content[0] != tokenVersion {
		return Token{}, fmt.Errorf("%w (format %d, known is %d): use that version's file here", ErrNewer, content[0], tokenVersion)
	}
	r := reader{rest: content[1:]}
	var t Token
	role, count := int(r.byte()), int(r.byte())
	for range count {
		kind := r.byte()
		addr, ok := netip.AddrFromSlice(r.take(int(kind >> 1)))
		port := uint16(DefaultPort)
		if kind&1 == 1 {
			port = binary.BigEndian.Uint16(append(r.take(2), 0, 0))
		}
		r.failed = r.failed || !ok
		t.Servers = append(t.Servers, netip.AddrPortFrom(addr, port))
	}
	copy(t.Pin[:], r.take(len(t.Pin)))
	copy(t.ID[:], r.take(len(t.ID)))
	copy(t.Secret[:], r.take(len(t.Secret)))
	if r.failed || len(r.rest) > 0 || role >= len(tokenRoles) || count < 1 || count > maxServers {
		return Token{}, ErrNotToken // the check sum is right: somebody made it up
	}
	t.Role = tokenRoles[role]
	return t, nil
}

// fold takes characters for what they were meant to be.
func fold(text string) string {
	return strings.NewReplacer("-", "", "i", "1", "l", "1", "o", "0", "u", "v").Replace(strings.ToLower(text))
}

// reader takes bytes off the front; after the end it gives none and says so.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.rest) {
		r.failed, r.rest = true, nil
		return nil
	}
	out := slices.Clone(r.rest[:n])
	r.rest = r.rest[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}
