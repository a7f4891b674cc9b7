package backup

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"

	"islet/appliance/atomicfile"
	"islet/appliance/layout"
)

// Key is a recovery key: the secret that opens a site's backups. No site keeps its own.
type Key struct{ identity *age.X25519Identity }

// NewKey makes a key.
func NewKey() (Key, error) {
	identity, err := age.GenerateX25519Identity()
	return Key{identity}, err
}

// ParseKey reads a key as it was shown, or a file of it as age-keygen writes them. Capitals, blanks and line breaks do
// not matter: it may have been typed. What was given is in no error.
func ParseKey(text string) (Key, error) {
	var typed strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			typed.WriteString(strings.ToUpper(strings.Join(strings.Fields(line), "")))
		}
	}
	const begin = "AGE-SECRET-KEY-1"
	switch {
	case typed.Len() == 0:
		return Key{}, fmt.Errorf("%w: there is nothing", ErrNotKey)
	case !strings.HasPrefix(typed.String(), begin):
		return Key{}, fmt.Errorf("%w: it does not begin with %s", ErrNotKey, begin)
	}
	identity, err := age.ParseX25519Identity(typed.String())
	if err != nil {
		return Key{}, fmt.Errorf("%w: it is mistyped, or not all of it", ErrNotKey)
	}
	return Key{identity}, nil
}

// Secret is the key in the form in which people keep it.
func (k Key) Secret() string { return k.identity.String() }

// Recipient is the public half.
func (k Key) Recipient() Recipient { return Recipient{k.identity.Recipient()} }

// String keeps the key out of messages.
func (k Key) String() string { return "(a recovery key)" }

// GoString keeps the key out of dumps.
func (k Key) GoString() string { return k.String() }

// LogValue keeps the key out of logs.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.String()) }

// Recipient is the public half of a recovery key; backups are sealed for it.
type Recipient struct{ recipient *age.X25519Recipient }

// ParseRecipient reads a recipient as String writes it.
func ParseRecipient(text string) (Recipient, error) {
	r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
	if err != nil {
		return Recipient{}, fmt.Errorf("%w: %w", ErrNotKey, err)
	}
	return Recipient{r}, nil
}

// String is the recipient as text; it is no secret.
func (r Recipient) String() string { return r.recipient.String() }

// recipientPath is where a server keeps the recipient. It is carried in backups, so a restored site has the same key.
func recipientPath(l layout.Layout) string { return filepath.Join(l.PKI(), "recovery.pub") }

// SiteRecipient returns what a site's backups are sealed for, or ErrNoKey.
func SiteRecipient(l layout.Layout) (Recipient, error) {
	data, err := os.ReadFile(recipientPath(l))
	if errors.Is(err, fs.ErrNotExist) {
		return Recipient{}, ErrNoKey
	}
	if err != nil {
		return Recipient{}, err
	}
	r, err := ParseRecipient(string(data))
	if err != nil {
		return r, fmt.Errorf("%s: %w", recipientPath(l), err)
	}
	return r, nil
}

// SetSiteRecipient makes r what the site's backups are sealed for from now on.
func SetSiteRecipient(l layout.Layout, r Recipient) error {
	if err := os.MkdirAll(l.PKI(), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(recipientPath(l), []byte(r.String()+"\n"), 0o644)
}

// KeySince returns what a site's backups are sealed for and since when this server knows it, or ErrNoKey.
func KeySince(l layout.Layout) (Recipient, time.Time, error) {
	r, err := SiteRecipient(l)
	if err != nil {
		return r, time.Time{}, err
	}
	info, err := os.Stat(recipientPath(l))
	if err != nil {
		return r, time.Time{}, err
	}
	return r, info.ModTime().UTC(), nil
}

// AdoptRecipient is SetSiteRecipient for what another server has had since then.
func AdoptRecipient(l layout.Layout, r Recipient, since time.Time) error {
	if err := SetSiteRecipient(l, r); err != nil {
		return err
	}
	return os.Chtimes(recipientPath(l), since, since)
}
