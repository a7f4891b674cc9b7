package server

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"time"

	"islet/appliance/config"
	"islet/appliance/datastore"
	"islet/appliance/health"
	"islet/appliance/layout"
)

// Database is the site's own database as this server gets into it. The secret is that with which its content is encrypted: a
// site with another could read nothing of it.
func Database(c config.Config, l layout.Layout, secret []byte) (*datastore.External, error) {
	e := c.Datastore.External
	files, err := datastore.Credentials{Password: e.PasswordFile, CA: e.CAFile, Cert: e.CertFile, Key: e.KeyFile}.Keep(l.PKI())
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(append([]byte("islet datastore "), secret...))
	return &datastore.External{Endpoint: e.Endpoint, Files: files, Identity: hex.EncodeToString(sum[:])}, nil
}

// databaseCodes are the problems of a site's own database.
var databaseCodes = map[datastore.Trouble]health.Code{
	datastore.Unreachable: health.DatabaseUnreachable, datastore.Refused: health.DatabaseRefused, datastore.Unfit: health.DatabaseUnfit,
}

// staleAfter is when the store engine should have looked several times.
const staleAfter = time.Minute

func (n *node) judgeDatabase() {
	if n.database == nil {
		return
	}
	r, err := datastore.ReadDatabase(n.layout)
	if errors.Is(err, fs.ErrNotExist) || err == nil && time.Since(r.At) > staleAfter && r.Serves {
		return // it is about to look, or is down, which is another problem
	}
	if err != nil {
		n.Log.Warn("report of the database not readable", "error", err)
		return
	}
	for trouble, code := range databaseCodes {
		n.set(code, "the site's database", r.Trouble == trouble, r.Wrong())
	}
}
