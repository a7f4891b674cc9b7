package join

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"islet/appliance/config"
)

func servers(list ...string) (out []netip.AddrPort) {
	for _, s := range list {
		out = append(out, netip.MustParseAddrPort(s))
	}
	return out
}

func sample(t *testing.T, role config.Role, at ...string) Token {
	t.Helper()
	token, err := NewToken(role, Pin{1, 2, 3}, servers(at...))
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTokenRoundTrip(t *testing.T) {
	t.Parallel()
	for name, token := range map[string]Token{
		"one server":    sample(t, config.RoleAgent, "10.77.0.11:9443"),
		"three servers": sample(t, config.RoleServer, "10.77.0.11:9443", "10.77.0.12:9444", "[fd00::1]:9443"),
	} {
		text := token.String()
		for kind, typed := range map[string]string{
			"as it is":       text,
			"capitals":       strings.ToUpper(text),
			"without dashes": "islet-" + strings.ReplaceAll(strings.TrimPrefix(text, "islet-"), "-", ""),
			"broken lines":   " " + strings.ReplaceAll(text, "-", "-\n  ") + "\n",
			"look-alikes":    "islet-" + strings.NewReplacer("0", "O", "1", "l").Replace(strings.TrimPrefix(text, "islet-")),
		} {
			if got, err := ParseToken(typed); err != nil || !reflect.DeepEqual(got, token) {
				t.Errorf("%s, %s: %v, %v", name, kind, got, err)
			}
		}
	}
	if text := sample(t, config.RoleAgent, "10.77.0.11:9443").String(); len(text) > 96 {
		t.Errorf("%d characters are too many to type: %s", len(text), text)
	}
}

func TestTokenErrors(t *testing.T) {
	t.Parallel()
	good := sample(t, config.RoleAgent, "10.77.0.11:9443").String()
	swapped := []byte(good)
	swapped[20], swapped[21] = swapped[21], swapped[20]
	if swapped[20] == swapped[21] {
		swapped[20] = "01"[strings.IndexByte("1", swapped[20])+1]
	}
	newer := Token{Role: config.RoleAgent, Servers: servers("10.77.0.11:9443")}.String()
	for text, want := range map[string]error{
		"":                                  ErrNotToken,
		"K10abc::server:secret":             ErrNotToken,
		"islet-":                            ErrMistyped,
		good[:len(good)-3]:                  ErrMistyped,
		good + "0":                          ErrMistyped,
		string(swapped):                     ErrMistyped,
		strings.Replace(good, "-", "-?", 2): ErrMistyped,
		reversion(t, newer, 2):              ErrNewer,
		reversion(t, newer, 0):              ErrNewer,
	} {
		if got, err := ParseToken(text); !errors.Is(err, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for name, at := range map[string][]string{"none": nil, "ten": strings.Split(strings.Repeat("10.0.0.1:1 ", 10), " ")[:10]} {
		if _, err := NewToken(config.RoleAgent, Pin{}, servers(at...)); err == nil {
			t.Errorf("%s servers were taken", name)
		}
	}
	if _, err := NewToken("king", Pin{}, servers("10.0.0.1:1")); err == nil || !strings.Contains(err.Error(), "king") {
		t.Errorf("an unknown role: %v", err)
	}
}

// reversion makes the same token in another format version.
func reversion(t *testing.T, text string, version byte) string {
	t.Helper()
	raw, err := tokenEncoding.DecodeString(fold(strings.TrimPrefix(text, tokenPrefix)))
	if err != nil {
		t.Fatal(err)
	}
	raw[0] = version
	return seal(raw[:len(raw)-checkBytes])
}

func TestTokenKeepsItsSecret(t *testing.T) {
	t.Parallel()
	token := sample(t, config.RoleAgent, "10.77.0.11:9443")
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("joined", "token", token)
	for _, text := range []string{fmt.Sprint(token), fmt.Sprintf("%+v %#v %s", token, token, token), log.String()} {
		if !strings.Contains(text, token.ID.String()) || strings.Contains(text, token.String()) || strings.Contains(text, fmt.Sprint(token.Secret)) {
			t.Errorf("%q", text)
		}
	}
	if id, err := ParseID(strings.ToUpper(token.ID.String())); err != nil || id != token.ID {
		t.Errorf("%v, %v", id, err)
	}
	if _, err := ParseID("h3x0"); err == nil {
		t.Error("half an id was taken")
	}
}

func TestPin(t *testing.T) {
	t.Parallel()
	authority := func() *x509.Certificate {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(raw)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	ours, other := authority(), authority()
	if pin := PinOf(ours); !pin.Matches(ours) || pin.Matches(other) {
		t.Error("a pin must match its own authority only")
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("islet-")
	f.Add(Token{Role: config.RoleServer, Servers: servers("10.77.0.11:9443", "[fd00::1]:1")}.String())
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrNotToken) && !errors.Is(err, ErrMistyped) && !errors.Is(err, ErrNewer) {
				t.Errorf("%q: %v is none of the documented errors", text, err)
			}
			return
		}
		if again, err := ParseToken(token.String()); err != nil || !reflect.DeepEqual(again, token) {
			t.Errorf("%q: read as %v, written and read again %v (%v)", text, token, again, err)
		}
	})
}

// Behind a right check sum, where plain fuzzing hardly gets.
func FuzzTokenContent(f *testing.F) {
	f.Add([]byte{tokenVersion, 0, 1})
	f.Fuzz(func(t *testing.T, content []byte) {
		if len(content) == 0 {
			return
		}
		token, err := ParseToken(seal(content))
		if err == nil && len(token.Servers) == 0 {
			t.Errorf("% x: a token without servers", content)
		}
	})
}
