package join

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/tyler-smith/go-bip39/wordlists"
)

// Key is the fingerprint of a node's public key: hexadecimal SHA-256 of its subject public key info.
type Key string

// KeyOf makes the fingerprint of a key, given as subject public key info in DER.
func KeyOf(publicKeyInfo []byte) Key {
	sum := sha256.Sum256(publicKeyInfo)
	return Key(hex.EncodeToString(sum[:]))
}

const (
	words       = 6
	bitsPerWord = 11
)

// Words is the fingerprint for two people on the telephone: six of the 2048 words of BIP 39, 66 bits of it. Nobody finds a
// second key with the same words in the time that a machine waits.
func (k Key) Words() string {
	raw, err := hex.DecodeString(string(k))
	if err != nil || len(raw) != sha256.Size {
		return ""
	}
	var out []string
	bit := func(i int) int { return int(raw[i/8]>>(7-i%8)) & 1 }
	for w := range words {
		index := 0
		for i := range bitsPerWord {
			index = index<<1 | bit(w*bitsPerWord+i)
		}
		out = append(out, wordlists.English[index])
	}
	return strings.Join(out, " ")
}
