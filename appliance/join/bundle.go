package join

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/bundle"
)

// slowestRate is how slow, in bytes per second, a node may read what it asked for before the connection is cut.
const slowestRate = 16 << 10

// handleBundle lets nodes have the bundle that this server runs, part by part.
func handleBundle(mux *http.ServeMux, site Site, authorities func() []*x509.Certificate) {
	open := func(r *http.Request) (*bundle.Reader, error) {
		node, err := nodeOf(r, authorities())
		if err != nil {
			return nil, err
		}
		b, err := site.Carry(r.Context(), node)
		if want := r.PathValue("bundle"); err == nil && want != "" && want != b.Digest().String() {
			err = fmt.Errorf("%w: %s", ErrOtherBundle, b.Digest())
		}
		return b, err
	}
	mux.HandleFunc("GET "+bundlePath, func(w http.ResponseWriter, r *http.Request) {
		b, err := open(r)
		var carried Carried
		if err == nil {
			carried, err = CarriedBy(b)
		}
		writeAnswer(w, carried, err)
	})
	mux.HandleFunc("GET "+bundlePath+"/{bundle}/frame", func(w http.ResponseWriter, r *http.Request) {
		b, err := open(r)
		if err != nil {
			writeAnswer(w, nil, err)
			return
		}
		w.Header().Set("Content-Type", octets)
		_, _ = io.Copy(w, b.Frame()) // who gets less sees it by the digest
	})
	mux.HandleFunc("GET "+bundlePath+"/{bundle}/blobs/{blob}", func(w http.ResponseWriter, r *http.Request) {
		b, err := open(r)
		var content *io.SectionReader
		if err == nil {
			content, err = b.SectionReader(digest.Digest(r.PathValue("blob")))
		}
		if err != nil {
			writeAnswer(w, nil, err)
			return
		}
		control := http.NewResponseController(w)
		_ = control.SetReadDeadline(time.Time{}) // the request is here
		_ = control.SetWriteDeadline(time.Now().Add(time.Minute + time.Duration(content.Size()/slowestRate)*time.Second))
		w.Header().Set("Content-Type", octets)
		http.ServeContent(w, r, "", time.Time{}, content)
	})
}

const octets = "application/octet-stream"

// CarriedBy describes what a server runs. It reads the executable.
func CarriedBy(b *bundle.Reader) (Carried, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, b.Executable()); err != nil {
		return Carried{}, err
	}
	tail, err := io.ReadAll(b.Tail())
	return Carried{Executable: digest.NewDigest(digest.SHA256, sum), Tail: tail}, err
}

// Offer asks what the site runs, with a token.
func (c *Client) Offer(ctx context.Context, a Application) (Carried, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return callLarge[Carried](ctx, c, http.MethodPost, offerPath, a, maxCarried)
}

// Carried asks what the site runs, as a node.
func (c *Client) Carried(ctx context.Context) (Carried, error) {
	ctx, cancel := context.WithTimeout(ctx, admitTimeout)
	defer cancel()
	return callLarge[Carried](ctx, c, http.MethodGet, bundlePath, nil, maxCarried)
}

// Store is a server as a source of its bundle. It implements fetch.Source.
type Store struct{ client *Client }

// Stores are the servers as sources for a node. Nobody is asked yet: those that are away now may be back later.
// The caller closes them.
func Stores(servers []netip.AddrPort, pair tls.Certificate, authorities []*x509.Certificate) []Store {
	var out []Store
	for _, server := range servers {
		out = append(out, Store{newClient(server, nodeTLS(pair, authorities))})
	}
	return out
}

// Name is the server's address.
func (s Store) Name() string { return s.client.Server.String() }

// Close ends the connections.
func (s Store) Close() { s.client.Close() }

// Frame streams the bytes of the bundle's archive that are not content of a blob.
func (s Store) Frame(ctx context.Context, b digest.Digest) (io.ReadCloser, error) {
	return s.get(ctx, b.String()+"/frame", 0)
}

// Blob streams a blob from offset on.
func (s Store) Blob(ctx context.Context, b, blob digest.Digest, offset int64) (io.ReadCloser, error) {
	return s.get(ctx, b.String()+"/blobs/"+blob.String(), offset)
}

func (s Store) get(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.Name()+bundlePath+"/"+path, nil)
	if err != nil {
		return nil, err
	}
	want := http.StatusOK
	if offset > 0 {
		want = http.StatusPartialContent
		req.Header.Set("Range", "bytes="+strconv.FormatInt(offset, 10)+"-")
	}
	resp, err := s.client.http.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode == want && strings.HasPrefix(resp.Header.Get("Content-Range"), rangeFrom(offset)) {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	said, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	if err != nil {
		return nil, err
	}
	err = readFailure(resp.Status, said)
	for _, final := range []error{ErrOtherBundle, ErrNotMember, ErrRemoved, ErrNoIdentity} {
		if errors.Is(err, final) {
			err = fmt.Errorf("%w: %w", bundle.ErrNotFound, err)
		}
	}
	return nil, err
}

// rangeFrom is how the Content-Range of an answer must begin.
func rangeFrom(offset int64) string {
	if offset == 0 {
		return ""
	}
	return fmt.Sprintf("bytes %d-", offset)
}
