package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"io/fs"
	"net/http"
)

// Right is what a client may do.
type Right string

// The rights. Each includes those before it.
const (
	RightNone   Right = ""
	RightPull   Right = "pull"
	RightPush   Right = "push"   // also delete
	RightServer Right = "server" // also what registries ask of each other
)

func (r Right) allows(wanted Right) bool {
	rank := map[Right]int{RightNone: 0, RightPull: 1, RightPush: 2, RightServer: 3}
	return rank[r] >= rank[wanted]
}

// Users are the people and programs with a password, by name.
type Users map[string]User

// User is kept without the password. Passwords are made by the platform, with 128 random bits: a plain hash is as good as a
// slow one.
type User struct {
	Hash string `json:"hash"` // Hash of the password
	Push bool   `json:"push,omitempty"`
}

// Hash is what is kept of a password.
func Hash(password string) string {
	sum := sha256.Sum256([]byte(password))
	return hex.EncodeToString(sum[:])
}

// right says who asks: a node by its certificate, anybody else by a password.
func (s Settings) right(r *http.Request) (Right, error) {
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		granted := RightNone
		for _, group := range r.TLS.VerifiedChains[0][0].Subject.Organization {
			if g := s.Groups[group]; g.allows(granted) {
				granted = g
			}
		}
		return granted, nil
	}
	name, password, given := r.BasicAuth()
	if !given {
		return RightNone, nil
	}
	users := Users{}
	if err := readJSON(s.Users, &users); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return RightNone, err
	}
	user, known := users[name]
	if !known || subtle.ConstantTimeCompare([]byte(user.Hash), []byte(Hash(password))) != 1 {
		return RightNone, nil
	}
	if user.Push {
		return RightPush, nil
	}
	return RightPull, nil
}
