package pki

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"errors"
	"fmt"
)

// ErrSealed is returned for what was sealed with another secret, or altered since.
var ErrSealed = errors.New("it was not sealed by a server of this site, or was altered since")

// Seal hides what only servers of the site may read where others may look. purpose tells it from all else that is sealed
// with the site's secret: Open wants the same.
func (s *Store) Seal(purpose string, plain []byte) ([]byte, error) {
	box, err := s.box(purpose)
	if err != nil {
		return nil, err
	}
	return box.Seal(nil, nil, plain, nil), nil
}

// Open reads what Seal wrote on any server of the site, or returns ErrSealed.
func (s *Store) Open(purpose string, sealed []byte) ([]byte, error) {
	box, err := s.box(purpose)
	if err != nil {
		return nil, err
	}
	plain, err := box.Open(nil, nil, sealed, nil)
	if err != nil {
		err = fmt.Errorf("%s: %w", purpose, ErrSealed)
	}
	return plain, err
}

func (s *Store) box(purpose string) (cipher.AEAD, error) {
	secret, err := s.Secret(EncryptionSecret, EncryptionBytes)
	if err != nil {
		return nil, err
	}
	key, err := hkdf.Key(sha256.New, secret, nil, "islet seal: "+purpose, 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}
