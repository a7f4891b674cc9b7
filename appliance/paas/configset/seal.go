package configset

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"filippo.io/age"
	"filippo.io/age/armor"
)

// The errors of sealed values.
var (
	ErrNotSealed  = errors.New("this is no sealed value")
	ErrOtherSite  = errors.New("it is sealed for another site's key")
	ErrOtherPlace = errors.New("it is sealed for another tenant or key")
	ErrNotSiteKey = errors.New("this is no site key")
)

// largestSecret bounds what is read of a sealed value.
const largestSecret = 256 << 10

// Keys are what servers of a site read and compare secrets with. All servers have the same, since they are derived from the secret
// that the datastore is encrypted with; so has a site that was restored.
type Keys struct {
	identity *age.X25519Identity
	digest   []byte
}

// NewKeys derives the keys from the site's secret.
func NewKeys(secret []byte) (Keys, error) {
	scalar, err := hkdf.Key(sha256.New, secret, nil, "islet config: sealing", 32)
	if err != nil {
		return Keys{}, err
	}
	digest, err := hkdf.Key(sha256.New, secret, nil, "islet config: digests", 32)
	if err != nil {
		return Keys{}, err
	}
	identity, err := age.ParseX25519Identity(strings.ToUpper(bech32("age-secret-key-", scalar)))
	return Keys{identity, digest}, err
}

// SiteKey is the public half, which values are sealed with. It is no secret.
func (k Keys) SiteKey() SiteKey { return SiteKey{k.identity.Recipient()} }

// String keeps the keys out of messages.
func (k Keys) String() string { return "(the site's keys)" }

// GoString keeps the keys out of dumps.
func (k Keys) GoString() string { return k.String() }

// LogValue keeps the keys out of logs.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Digest tells values of a tenant apart. Without the site's key nobody can try which value it is of, and equal values of two
// tenants have different ones.
func (k Keys) Digest(tenant, value string) string {
	mac := hmac.New(sha256.New, k.digest)
	_, _ = io.WriteString(mac, tenant+"\x00"+value) // never fails
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Open reads a sealed value that is good for that key of that tenant.
func (k Keys) Open(tenant, key, sealed string) (string, error) {
	content, err := age.Decrypt(armor.NewReader(strings.NewReader(sealed)), k.identity)
	if err != nil {
		if mismatch, ok := errors.AsType[*age.NoIdentityMatchError](err); ok && mismatch != nil {
			return "", ErrOtherSite
		}
		return "", fmt.Errorf("%w: %w", ErrNotSealed, err)
	}
	raw, err := io.ReadAll(io.LimitReader(content, 2*largestSecret))
	var b box
	if err == nil {
		err = json.Unmarshal(raw, &b)
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("%w: %w", ErrNotSealed, err)
	case b.Tenant != tenant || b.Key != key:
		return "", fmt.Errorf("%w: %s of %s", ErrOtherPlace, b.Key, b.Tenant)
	}
	return string(b.Value), nil
}

// box is what is sealed: the value with its place, so that nobody gets a value read by putting it where he may look.
type box struct {
	Tenant string `json:"tenant"`
	Key    string `json:"key"`
	Value  []byte `json:"value"`
}

// SiteKey is the public half of a site's key.
type SiteKey struct{ recipient *age.X25519Recipient }

// ParseSiteKey reads a key as String writes it.
func ParseSiteKey(text string) (SiteKey, error) {
	r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
	if err != nil {
		return SiteKey{}, fmt.Errorf("%w: %w", ErrNotSiteKey, err)
	}
	return SiteKey{r}, nil
}

// String is the key as text.
func (s SiteKey) String() string { return s.recipient.String() }

// Seal makes a value that only servers of the site can read, and take for this key of this tenant only.
func (s SiteKey) Seal(tenant, key, value string) (string, error) {
	if len(value) > largestSecret {
		return "", fmt.Errorf("the value has %d bytes, and a secret has at most %d", len(value), largestSecret)
	}
	raw, err := json.Marshal(box{tenant, key, []byte(value)})
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	text := armor.NewWriter(&out)
	w, err := age.Encrypt(text, s.recipient)
	if err == nil {
		_, err = w.Write(raw)
	}
	if err == nil {
		err = w.Close()
	}
	if err == nil {
		err = text.Close()
	}
	return out.String(), err
}
