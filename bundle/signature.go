package bundle

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"

	"islet/bundle/trust"
)

// signatureDomain is put in front of the index bytes that are signed, so that a signature made for one purpose can never
// pass for another.
const signatureDomain = "islet-bundle-index-v1\x00"

const algorithmEd25519 = "ed25519"

// signatureSection is the JSON of the signature section. An unsigned bundle has an empty section (0 bytes).
type signatureSection struct {
	Signatures []signatureEntry `json:"signatures"`
}

type signatureEntry struct {
	KeyID     string `json:"keyId"`
	Algorithm string `json:"algorithm"`
	Signature []byte `json:"signature"` // base64 in JSON
}

// State is what is known about a bundle's signature.
type State string

// The states of a signature. A reader whose trust.Set is not lenient returns Trusted bundles only.
const (
	Trusted   State = "trusted"
	Untrusted State = "untrusted"
	Unsigned  State = "unsigned"
)

// Signature reports who signed a bundle, as far as the reader's trust.Set knows.
type Signature struct {
	State    State       `json:"state"`
	KeyIDs   []string    `json:"keyIds,omitempty"`   // all that signed
	KeyName  string      `json:"keyName,omitempty"`  // the trusted one's
	KeyClass trust.Class `json:"keyClass,omitempty"` // the trusted one's
}

// signIndex makes the signature section for the given index bytes; none for no signers.
func signIndex(index []byte, signers []ed25519.PrivateKey) ([]byte, error) {
	if len(signers) == 0 {
		return nil, nil
	}
	message := append([]byte(signatureDomain), index...)
	var section signatureSection
	for _, signer := range signers {
		public, ok := signer.Public().(ed25519.PublicKey)
		if !ok {
			return nil, fmt.Errorf("%w: not an ed25519 private key", trust.ErrKey)
		}
		section.Signatures = append(section.Signatures, signatureEntry{
			KeyID:     trust.Key{Public: public}.ID(),
			Algorithm: algorithmEd25519,
			Signature: ed25519.Sign(signer, message),
		})
	}
	return json.Marshal(section)
}

// checkSignatures looks for one good signature by an accepted key. A Release or Site key wins over a Dev key for what is
// reported. A signature that names an accepted key but does not match is ErrAltered even if another one is good: the
// index or the section was changed after that key's owner signed.
func checkSignatures(index, raw []byte, accepted trust.Set) (Signature, *Error) {
	if len(raw) == 0 {
		return unsigned(accepted, "it carries no signature")
	}
	var section signatureSection
	if err := json.Unmarshal(raw, &section); err != nil {
		return Signature{}, &Error{Reason: ErrInvalid, Detail: fmt.Sprintf("signature section: %v", err)}
	}
	if len(section.Signatures) == 0 {
		return unsigned(accepted, "its signature section is empty")
	}
	result := Signature{State: Untrusted}
	message := append([]byte(signatureDomain), index...)
	for _, entry := range section.Signatures {
		if !printable(entry.KeyID) {
			return Signature{}, &Error{Reason: ErrInvalid, Detail: "signature section: bad key id"}
		}
		result.KeyIDs = append(result.KeyIDs, entry.KeyID)
		if entry.Algorithm != algorithmEd25519 {
			continue // made for a newer reader, next to one for us
		}
		keys := accepted.Lookup(entry.KeyID)
		if len(keys) == 0 {
			continue
		}
		key, ok := verifyAny(keys, message, entry.Signature)
		if !ok {
			return Signature{}, &Error{Reason: ErrAltered, Detail: fmt.Sprintf("the signature by key %s (%s) does not match the index", keys[0].Name, entry.KeyID)}
		}
		if result.State != Trusted || result.KeyClass == trust.Dev {
			result.State, result.KeyName, result.KeyClass = Trusted, key.Name, key.Class
		}
	}
	if result.State != Trusted && !accepted.IsLenient() {
		return Signature{}, &Error{Reason: ErrUntrusted, Detail: fmt.Sprintf("signed with key id %v; %d keys are trusted here", result.KeyIDs, len(accepted.Keys()))}
	}
	return result, nil
}

func unsigned(accepted trust.Set, detail string) (Signature, *Error) {
	if accepted.IsLenient() {
		return Signature{State: Unsigned}, nil
	}
	return Signature{}, &Error{Reason: ErrUnsigned, Detail: detail}
}

func verifyAny(keys []trust.Key, message, signature []byte) (trust.Key, bool) {
	for _, k := range keys {
		if ed25519.Verify(k.Public, message, signature) {
			return k, true
		}
	}
	return trust.Key{}, false
}
