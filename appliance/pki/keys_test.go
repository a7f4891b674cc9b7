package pki

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// siteKeys are the keys of a site that has been made in a directory of the test.
func siteKeys(t *testing.T) (*Store, map[string][]byte) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "first"), time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Keys(); err == nil {
		t.Error("keys of a site that has no service account key yet")
	}
	if _, _, err := s.ServiceAccountKey(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Secret(EncryptionSecret, EncryptionBytes); err != nil {
		t.Fatal(err)
	}
	keys, err := s.Keys()
	if err != nil {
		t.Fatal(err)
	}
	return s, keys
}

// A second server has the same authorities, signs what the first one's clients trust, and reads its secrets.
func TestKeysMakeAnotherServer(t *testing.T) {
	t.Parallel()
	first, keys := siteKeys(t)
	dir := filepath.Join(t.TempDir(), "second")
	for range 2 { // once more after an interruption
		if err := WriteAuthorities(dir, first.Authorities()); err != nil {
			t.Fatal(err)
		}
		if err := WriteKeys(dir, keys); err != nil {
			t.Fatal(err)
		}
	}
	second, err := Open(dir, time.Time{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf := Leaf{Name: "kubelet", Authority: ClientCA, CommonName: "x", Client: true}
	if _, err := second.Ensure([]Leaf{leaf}); err != nil {
		t.Fatal(err)
	}
	cert, err := LoadCert(second.CertFile("kubelet"))
	if err != nil || cert.CheckSignatureFrom(first.Authority(ClientCA).Cert) != nil {
		t.Errorf("the second server signs for itself: %v", err)
	}
	again, err := second.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for name := range keys {
		if string(again[name]) != string(keys[name]) {
			t.Errorf("key %s differs", name)
		}
	}
}

func TestWriteKeysIsAllOrNothing(t *testing.T) {
	t.Parallel()
	first, keys := siteKeys(t)
	dir := filepath.Join(t.TempDir(), "second")
	if err := WriteAuthorities(dir, first.Authorities()); err != nil {
		t.Fatal(err)
	}
	delete(keys, EtcdCA)
	if err := WriteKeys(dir, keys); !errors.Is(err, ErrIncomplete) {
		t.Errorf("a key is missing: %v", err)
	}
	if files, err := filepath.Glob(filepath.Join(dir, "*.key")); err != nil || len(files) > 0 {
		t.Errorf("written: %v, %v", files, err)
	}
}

// The certificates of another site must not take the place of those whose keys are here.
func TestKeysAreKept(t *testing.T) {
	t.Parallel()
	first, _ := siteKeys(t)
	other, _ := siteKeys(t)
	before, err := os.ReadFile(first.Authority(NodeCA).CertFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteAuthorities(filepath.Dir(first.Authority(NodeCA).CertFile()), other.Authorities()); !errors.Is(err, ErrHasKeys) {
		t.Errorf("another site's: %v", err)
	}
	if after, err := os.ReadFile(first.Authority(NodeCA).CertFile()); err != nil || string(after) != string(before) {
		t.Errorf("the authority has changed (%v)", err)
	}
}
