package join

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/config"
	"islet/appliance/pki"
	"islet/bundle"
	"islet/bundle/bundletest"
	"islet/bundle/trust"
)

func carriedBundle(t *testing.T) (*bundle.Reader, trust.Set) {
	t.Helper()
	key, private := bundletest.Key("site", trust.Release)
	options := bundletest.Options(bundletest.Sample(t))
	options.Signers = []ed25519.PrivateKey{private}
	return bundletest.Open(t, bundletest.Bytes(t, options), key), trust.NewSet(key)
}

// What a server runs is had with a token as a whole, and as a node part by part, from anywhere in a blob.
func TestBundleParts(t *testing.T) {
	t.Parallel()
	b, keys := carriedBundle(t)
	r := run(t, &desk{bundle: b})
	pair := pairOf(t, r.store, nodeLeaf("node2", GroupAgents))
	machine, node := connect(t, r.token), connectNode(t, r.at, pair, r.store)
	offer, err := machine.Offer(t.Context(), Application{TokenID: r.token.ID, Role: config.RoleAgent})
	if err != nil {
		t.Fatal(err)
	}
	again, err := node.Carried(t.Context())
	if err != nil || offer.Executable != again.Executable || !bytes.Equal(offer.Tail, again.Tail) {
		t.Errorf("%v: a node is told something else than a machine", err)
	}
	if whole, err := bundle.OpenTail("", offer.Tail, keys); err != nil || whole.Digest() != b.Digest() {
		t.Errorf("the tail: %v", err)
	}
	store := Stores([]netip.AddrPort{r.at}, pair, r.store.Authority(pki.NodeCA).Trusted)[0]
	defer store.Close()
	frame, err := io.ReadAll(b.Frame())
	if err != nil {
		t.Fatal(err)
	}
	if got, err := readAll(store.Frame(t.Context(), b.Digest())); err != nil || !bytes.Equal(got, frame) {
		t.Errorf("the frame: %d bytes, %v", len(got), err)
	}
	for _, blob := range b.Index().Blobs {
		want, err := b.ReadBlob(t.Context(), blob.Digest, blob.Size)
		if err != nil {
			t.Fatal(err)
		}
		for _, offset := range []int64{0, blob.Size / 2, blob.Size - 1} {
			got, err := readAll(store.Blob(t.Context(), b.Digest(), blob.Digest, max(offset, 0)))
			if err != nil || !bytes.Equal(got, want[max(offset, 0):]) {
				t.Errorf("blob %s from %d: %d bytes, %v", blob.Digest, offset, len(got), err)
			}
		}
	}
	for name, blob := range map[string]digest.Digest{"unknown": digest.FromString("no such blob"), "no digest": "latest"} {
		if _, err := readAll(store.Blob(t.Context(), b.Digest(), blob, 0)); !errors.Is(err, bundle.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readAll(store.Frame(t.Context(), digest.FromString("another"))); !errors.Is(err, ErrOtherBundle) || !errors.Is(err, bundle.ErrNotFound) {
		t.Errorf("another bundle: %v", err)
	}
}

func readAll(body io.ReadCloser, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// Nobody gets a byte without a certificate of the site, and no node that the site does not know.
func TestBundleRefuses(t *testing.T) {
	t.Parallel()
	b, _ := carriedBundle(t)
	r := run(t, &desk{bundle: b, carry: func(name string) error {
		if name == "gone" {
			return ErrRemoved
		}
		return nil
	}})
	other := store(t, time.Now())
	stranger := pairOf(t, other, nodeLeaf("node2", GroupAgents))
	for _, path := range []string{"", "/" + b.Digest().String() + "/frame", "/" + b.Digest().String() + "/blobs/" + b.Index().Blobs[0].Digest.String()} {
		url := "https://" + r.at.String() + bundlePath + path
		if status, body := request(t, http.MethodGet, url, nil, nil); status != http.StatusUnauthorized {
			t.Errorf("%s without a certificate: %d %s", path, status, body)
		}
		if status, body := request(t, http.MethodGet, url, nil, &stranger); status != http.StatusUnauthorized {
			t.Errorf("%s with one of another site: %d %s", path, status, body)
		}
	}
	gone := Stores([]netip.AddrPort{r.at}, pairOf(t, r.store, nodeLeaf("gone", GroupAgents)), r.store.Authority(pki.NodeCA).Trusted)[0]
	defer gone.Close()
	if _, err := readAll(gone.Frame(t.Context(), b.Digest())); !errors.Is(err, ErrRemoved) || !errors.Is(err, bundle.ErrNotFound) {
		t.Errorf("a node that was removed: %v", err)
	}
	impostor := run(t, &desk{bundle: b})
	wrong := Stores([]netip.AddrPort{impostor.at}, pairOf(t, r.store, nodeLeaf("node2", GroupAgents)), r.store.Authority(pki.NodeCA).Trusted)[0]
	defer wrong.Close()
	if _, err := readAll(wrong.Frame(t.Context(), b.Digest())); !errors.Is(err, ErrImpostor) {
		t.Errorf("an impostor: %v", err)
	}
}

func TestCheckExecutable(t *testing.T) {
	t.Parallel()
	own, other := digest.FromString("this"), digest.FromString("another")
	for name, c := range map[string]struct {
		carried digest.Digest
		want    error
	}{"same": {own, nil}, "another": {other, ErrVersion}, "a bundle alone": {digest.FromBytes(nil), nil}} {
		if err := CheckExecutable(Carried{Executable: c.carried}, own); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func (d *desk) Offer(_ context.Context, a Application) (Carried, error) {
	d.note(a)
	return CarriedBy(d.bundle)
}

func (d *desk) Carry(_ context.Context, c Caller) (*bundle.Reader, error) {
	if d.noteNode(c.Name); d.carry == nil {
		return d.bundle, nil
	}
	return d.bundle, d.carry(c.Name)
}
