package serve

import (
	"context"
	"errors"
	"io"
	"maps"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/content"
)

// library is all that this registry can hand out: what the bundle carries, what was pushed, and what other servers have.
type library struct {
	carried *carried
	store   *content.Store
	others  *replicas
}

// found is a manifest with its content.
type found struct {
	digest    digest.Digest
	mediaType string
	raw       []byte
}

// manifest finds a manifest by tag or digest. What is not here is fetched from another server first, unless it is one that
// asks.
func (l *library) manifest(ctx context.Context, name, reference string, askOthers bool) (found, error) {
	if d, m, err := l.carried.repos[name].Resolve(reference); err == nil {
		raw, err := l.carried.manifest(ctx, d)
		return found{d, m.MediaType, raw}, err
	}
	d, m, err := l.store.Repository(name).Resolve(reference)
	if errors.Is(err, content.ErrUnknown) && askOthers && l.others.fetch(ctx, name) {
		d, m, err = l.store.Repository(name).Resolve(reference)
	}
	if err != nil {
		return found{}, err
	}
	raw, err := l.store.Manifest(d)
	return found{d, m.MediaType, raw}, err
}

// blob finds a blob. A blob does not belong to a repository here: who may pull one may pull all.
func (l *library) blob(ctx context.Context, name string, d digest.Digest, askOthers bool) (blob, error) {
	if section, err := l.carried.blob(d); err == nil {
		return blob{section, io.NopCloser(nil), section.Size()}, nil
	}
	f, err := l.store.Blob(d)
	if errors.Is(err, content.ErrUnknown) && askOthers && l.others.fetchBlob(ctx, name, d) == nil {
		f, err = l.store.Blob(d)
	}
	if err != nil {
		return blob{}, err
	}
	info, err := f.Stat()
	if err != nil {
		return blob{}, errors.Join(err, f.Close())
	}
	return blob{f, f, info.Size()}, nil
}

// blob is an open blob.
type blob struct {
	io.ReadSeeker
	io.Closer
	size int64
}

// secure makes sure that the blob is in the store. One that only the bundle carries is copied: the next bundle may not
// carry it, and what was pushed must outlive that.
func (l *library) secure(ctx context.Context, name string, d digest.Digest) error {
	if kept, err := l.store.Keep(d); err != nil || kept {
		return err
	}
	if section, err := l.carried.blob(d); err == nil {
		return l.store.Copy(d, section)
	}
	return l.others.fetchBlob(ctx, name, d)
}

// record is what a repository holds, carried or pushed.
func (l *library) record(name string) content.Repository {
	r := l.store.Repository(name)
	maps.Copy(r.Manifests, l.carried.repos[name].Manifests)
	maps.Copy(r.Tags, l.carried.repos[name].Tags)
	return r
}

// names lists the repositories that hold anything.
func (l *library) names() []string {
	var names []string
	for name := range l.carried.repos {
		names = append(names, name)
	}
	for name, r := range l.store.Repositories() {
		if _, twice := l.carried.repos[name]; !twice && len(r.Live()) > 0 {
			names = append(names, name)
		}
	}
	return names
}
