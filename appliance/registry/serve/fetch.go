package serve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

// pullAll takes over all that a peer has.
func (r *replicas) pullAll(ctx context.Context, peer netip.AddrPort) error {
	c, err := r.dial(peer)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Repositories(ctx, "")
	if err != nil {
		return err
	}
	for name, theirs := range all {
		if err := r.take(ctx, c, peer, name, theirs); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulled[peer] = true
	return nil
}

// pull takes over what a peer has in one repository.
func (r *replicas) pull(ctx context.Context, peer netip.AddrPort, name string) error {
	c, err := r.dial(peer)
	if err != nil {
		return err
	}
	defer c.Close()
	all, err := c.Repositories(ctx, name)
	if err != nil {
		return err
	}
	return r.take(ctx, c, peer, name, all[name])
}

// take fetches the content that is new in a peer's record, and then takes the record over.
func (r *replicas) take(ctx context.Context, from *client.Client, peer netip.AddrPort, name string, theirs content.Repository) error {
	if err := content.CheckName(name); err != nil {
		return err
	}
	ours := r.store.Repository(name)
	for d, m := range theirs.Manifests {
		if err := content.CheckDigest(d); err != nil {
			return err
		}
		if known := ours.Manifests[d]; m.Deleted || !m.Changed.After(known.Changed) {
			continue
		}
		if err := r.takeManifest(ctx, from, name, d, m); err != nil {
			return fmt.Errorf("fetch %s@%s: %w", name, d, err)
		}
	}
	before := r.mark(name)
	if err := r.store.Merge(name, theirs); err != nil {
		return err
	}
	if r.store.Repository(name).Same(theirs) { // it need not be told
		r.mu.Lock()
		defer r.mu.Unlock()
		before[peer] = true
	}
	return nil
}

func (r *replicas) takeManifest(ctx context.Context, from *client.Client, name string, d digest.Digest, m content.Manifest) error {
	raw, _, err := from.Manifest(ctx, name, string(d))
	if err != nil {
		return err
	}
	refs, err := content.ParseManifest(m.MediaType, raw)
	if err != nil {
		return err
	}
	for _, b := range refs.Blobs {
		if kept, err := r.store.Keep(b.Digest); err != nil {
			return err
		} else if kept {
			continue
		}
		if err := r.takeBlob(ctx, from, name, b.Digest); err != nil {
			return err
		}
	}
	return r.store.Add(d, raw)
}

func (r *replicas) takeBlob(ctx context.Context, from *client.Client, name string, d digest.Digest) (err error) {
	body, err := from.Blob(ctx, name, d)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	return r.store.Copy(d, body)
}

// fetch asks the peers for a repository, and tells whether any had something.
func (r *replicas) fetch(ctx context.Context, name string) bool {
	for _, peer := range r.others() {
		if err := r.pull(ctx, peer, name); err != nil {
			r.log.Warn("repository not fetched", "repository", name, "server", peer, "error", err)
			continue
		}
		if len(r.store.Repository(name).Live()) > 0 {
			return true
		}
	}
	return false
}

// fetchBlob asks the peers for a blob; content.ErrUnknown if none has it.
func (r *replicas) fetchBlob(ctx context.Context, name string, d digest.Digest) error {
	for _, peer := range r.others() {
		c, err := r.dial(peer)
		if err == nil {
			err = r.takeBlob(ctx, c, name, d)
			c.Close()
		}
		if err == nil {
			return nil
		}
		if !errors.Is(err, content.ErrUnknown) {
			r.log.Warn("blob not fetched", "digest", d, "server", peer, "error", err)
		}
	}
	return fmt.Errorf("blob %s: %w", d, content.ErrUnknown)
}
