package serve

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/content"
)

// beginUpload begins a blob, or takes all of it at once, or makes it unnecessary.
func (h *handler) beginUpload(w http.ResponseWriter, r request) error {
	if r.object != "" {
		return refusal{http.StatusMethodNotAllowed, "UNSUPPORTED", "an upload goes on with PATCH or PUT"}
	}
	query := r.URL.Query()
	if mount := digest.Digest(query.Get("mount")); mount != "" {
		if err := content.CheckDigest(mount); err != nil {
			return refuse(http.StatusBadRequest, "DIGEST_INVALID", err)
		}
		if err := h.secure(r.Context(), r.name, mount); err == nil {
			return h.created(w, r, mount)
		}
	}
	u, err := h.store.NewUpload()
	if err != nil {
		return err
	}
	if whole := query.Get("digest"); whole != "" {
		return h.finishUpload(w, r, u, digest.Digest(whole))
	}
	describeUpload(w, r, u)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// describeUpload says where the upload goes on, and how far it is.
func describeUpload(w http.ResponseWriter, r request, u *content.Upload) {
	w.Header().Set("Location", location(r.name, "blobs/uploads/"+u.ID))
	w.Header().Set("Docker-Upload-UUID", u.ID)
	w.Header().Set("OCI-Chunk-Min-Length", "0")
	w.Header().Set("Range", "0-"+strconv.FormatInt(max(u.Size()-1, 0), 10))
}

// location is where something of a repository is found by any client: by its full name in the path, unless its host cannot be
// part of a path.
func location(name, below string) string {
	host, path := content.SplitName(name)
	if strings.Contains(host, ".") && !strings.Contains(host, ":") {
		return "/v2/" + name + "/" + below
	}
	return "/v2/" + path + "/" + below + "?" + url.Values{"ns": {host}}.Encode()
}

func (h *handler) showUpload(w http.ResponseWriter, r request) error {
	u, err := h.store.Upload(r.object)
	if err != nil {
		return err
	}
	describeUpload(w, r, u)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (h *handler) continueUpload(w http.ResponseWriter, r request) error {
	u, err := h.store.Upload(r.object)
	if err != nil {
		return err
	}
	if err := appendChunk(r, u); err != nil {
		return err
	}
	describeUpload(w, r, u)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// appendChunk adds the body of the request; a chunk that says where it begins must begin at the end.
func appendChunk(r request, u *content.Upload) error {
	chunk := strings.TrimPrefix(r.Header.Get("Content-Range"), "bytes ")
	if chunk == "" {
		return u.Append(r.Body)
	}
	from, _, _ := strings.Cut(chunk, "-")
	offset, err := strconv.ParseInt(from, 10, 64)
	if err != nil {
		return refuse(http.StatusBadRequest, "BLOB_UPLOAD_INVALID", fmt.Errorf("the Content-Range %.100q is not understood", chunk))
	}
	return u.AppendAt(offset, r.Body)
}

func (h *handler) endUpload(w http.ResponseWriter, r request) error {
	u, err := h.store.Upload(r.object)
	if err != nil {
		return err
	}
	return h.finishUpload(w, r, u, digest.Digest(r.URL.Query().Get("digest")))
}

// finishUpload takes the last chunk, which may be empty, and puts the blob in place.
func (h *handler) finishUpload(w http.ResponseWriter, r request, u *content.Upload, d digest.Digest) error {
	if err := appendChunk(r, u); err != nil {
		if errors.Is(err, content.ErrOffset) {
			return err // it can be gone on with
		}
		return errors.Join(err, u.Cancel())
	}
	if err := u.Commit(d); err != nil {
		return err
	}
	return h.created(w, r, d)
}

func (h *handler) created(w http.ResponseWriter, r request, d digest.Digest) error {
	w.Header().Set("Location", location(r.name, "blobs/"+string(d)))
	w.Header().Set("Docker-Content-Digest", string(d))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h *handler) cancelUpload(w http.ResponseWriter, r request) error {
	u, err := h.store.Upload(r.object)
	if err != nil {
		return err
	}
	if err := u.Cancel(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
