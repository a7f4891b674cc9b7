package serve

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	v1 "github.com/opencontainers/image-spec/specs-go/v1"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

func (h *handler) getManifest(w http.ResponseWriter, r request) error {
	m, err := h.manifest(r.Context(), r.name, r.object, r.askOthers())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", m.mediaType)
	w.Header().Set("Docker-Content-Digest", string(m.digest))
	w.Header().Set("Content-Length", strconv.Itoa(len(m.raw)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(m.raw) // the client went away: nothing to do
	}
	return nil
}

// putManifest takes a manifest whose blobs are here, and answers when another server has all of it too, or none can be
// reached.
func (h *handler) putManifest(w http.ResponseWriter, r request) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, content.MaxManifest+1))
	if err != nil {
		return err
	}
	if len(raw) > content.MaxManifest {
		return refusal{http.StatusRequestEntityTooLarge, "SIZE_INVALID", fmt.Sprintf("a manifest may have %d bytes", content.MaxManifest)}
	}
	d, tag := digest.FromBytes(raw), r.object
	if named := digest.Digest(r.object); named.Validate() == nil {
		if tag = ""; named != d {
			return refuse(http.StatusBadRequest, "DIGEST_INVALID", fmt.Errorf("%w: it is %s", content.ErrDigest, d))
		}
	} else if err := content.CheckTag(tag); err != nil {
		return refuse(http.StatusBadRequest, "MANIFEST_INVALID", err)
	}
	if err := h.mayChange(r); err != nil {
		return err
	}
	refs, err := content.ParseManifest(r.Header.Get("Content-Type"), raw)
	if err != nil {
		return err
	}
	if err := h.complete(r, refs); err != nil {
		return err
	}
	if err := h.store.Add(d, raw); err != nil {
		return err
	}
	if err := h.store.Put(r.name, tag, d, content.Manifest{MediaType: refs.MediaType, Size: int64(len(raw))}); err != nil {
		return err
	}
	copies := h.others.pushed(r.Context(), r.name)
	w.Header().Set(client.CopiesHeader, strconv.Itoa(copies))
	w.Header().Set("Docker-Content-Digest", string(d))
	w.Header().Set("Location", location(r.name, "manifests/"+string(d)))
	if refs.Subject != nil {
		w.Header().Set("OCI-Subject", string(refs.Subject.Digest))
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// complete refuses a manifest of which something is missing.
func (h *handler) complete(r request, refs content.References) error {
	for _, b := range refs.Blobs {
		if err := h.secure(r.Context(), r.name, b.Digest); err != nil {
			return err
		}
	}
	record := h.record(r.name)
	for _, m := range refs.Manifests {
		if _, _, err := record.Resolve(string(m.Digest)); err != nil {
			return fmt.Errorf("manifest %s: %w", m.Digest, err)
		}
	}
	return nil
}

// mayChange refuses to change what the bundle carries: those names always mean the same.
func (h *handler) mayChange(r request) error {
	host, _ := content.SplitName(r.name)
	carried := h.carried.repos[r.name]
	if _, _, err := carried.Resolve(r.object); err == nil || host == carriedHost {
		return refusal{http.StatusForbidden, "DENIED", r.name + ":" + r.object + " belongs to what the platform carries, and cannot be changed"}
	}
	return nil
}

// carriedHost is in the names of the platform's own images.
const carriedHost = "islet.internal"

func (h *handler) deleteManifest(w http.ResponseWriter, r request) error {
	if err := h.mayChange(r); err != nil {
		return err
	}
	if err := h.store.Delete(r.name, r.object); err != nil {
		return err
	}
	h.others.pushed(r.Context(), r.name)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// listReferrers lists the manifests that have another one as their subject: signatures, SBOMs.
func (h *handler) listReferrers(w http.ResponseWriter, r request) error {
	subject := digest.Digest(r.object)
	if err := content.CheckDigest(subject); err != nil {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", err)
	}
	wanted := r.URL.Query().Get("artifactType")
	index := v1.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: v1.MediaTypeImageIndex, Manifests: []v1.Descriptor{}}
	record := h.record(r.name)
	for _, d := range record.Live() {
		m, err := h.manifest(r.Context(), r.name, string(d), false)
		if err != nil {
			return err
		}
		refs, err := content.ParseManifest(m.mediaType, m.raw)
		if err != nil {
			return err
		}
		if refs.Subject == nil || refs.Subject.Digest != subject || wanted != "" && refs.ArtifactType != wanted {
			continue
		}
		index.Manifests = append(index.Manifests, v1.Descriptor{
			MediaType: m.mediaType, Digest: d, Size: int64(len(m.raw)), ArtifactType: refs.ArtifactType, Annotations: refs.Annotations,
		})
	}
	if wanted != "" {
		w.Header().Set("OCI-Filters-Applied", "artifactType")
	}
	writeJSON(w, v1.MediaTypeImageIndex, index)
	return nil
}

// readBody decodes a small request.
func readBody(r *http.Request, into any) error {
	err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(into)
	if err != nil && !errors.Is(err, r.Context().Err()) {
		return refuse(http.StatusBadRequest, "UNKNOWN", err)
	}
	return err
}
