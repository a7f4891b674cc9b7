package trust

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

const (
	devWarning = "# DEVELOPMENT KEY. Made by a build on one machine, protected by nothing.\n" +
		"# A bundle signed with it proves nothing about its origin. Never ship it to a site.\n"
	secretWarning = "# PRIVATE KEY. Whoever has this file can sign bundles that sites accept. Keep it offline.\n"
	pemPrivate    = "PRIVATE KEY"
)

// GeneratePair makes a new key and writes NAME.key (PKCS #8 PEM, mode 0600) and NAME.pub (text form, mode 0644) into dir,
// which it makes if needed. It returns the paths. Files that exist are left alone: os.ErrExist.
func GeneratePair(dir, name string, class Class) (key Key, privatePath, publicPath string, err error) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		return Key{}, "", "", fmt.Errorf("generate key: %w", err)
	}
	key = Key{Name: name, Class: class, Public: public}
	if _, err := ParseKey(key.String()); err != nil {
		return Key{}, "", "", err // a name or class that could not be read back
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return Key{}, "", "", fmt.Errorf("encode key: %w", err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return Key{}, "", "", fmt.Errorf("write key: %w", err)
	}
	warning := ""
	if class == Dev {
		warning = devWarning
	}
	privatePath, publicPath = filepath.Join(dir, name+".key"), filepath.Join(dir, name+".pub")
	secret := warning + secretWarning + string(pem.EncodeToMemory(&pem.Block{Type: pemPrivate, Bytes: der}))
	if err := writeNew(privatePath, secret, 0o600); err != nil {
		return Key{}, "", "", err
	}
	if err := writeNew(publicPath, warning+key.String()+"\n", 0o644); err != nil {
		return Key{}, "", "", errors.Join(err, os.Remove(privatePath))
	}
	return key, privatePath, publicPath, nil
}

// ReadPrivate reads an ed25519 private key in PKCS #8 PEM: one that GeneratePair or `openssl genpkey -algorithm ed25519`
// wrote. Text around the PEM block is skipped. Errors never show the content.
func ReadPrivate(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read private key: %w", err)
	}
	defer clear(text)
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil || block.Type != pemPrivate {
		return nil, fmt.Errorf("read private key %s: %w: no PEM block of type %s", path, ErrKey, pemPrivate)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read private key %s: %w: not PKCS #8", path, ErrKey)
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("read private key %s: %w: %T, want ed25519", path, ErrKey, parsed)
	}
	return private, nil
}

// writeNew writes a file that must not exist yet and waits until it is on the disk.
func writeNew(path, content string, mode os.FileMode) (err error) {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	_, err = file.WriteString(content)
	// The umask must not take anything away, nor leave anything that mode does not grant.
	if err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write key %s: %w", path, err), os.Remove(path))
	}
	return nil
}
