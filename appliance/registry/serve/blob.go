package serve

import (
	"net/http"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"islet/appliance/registry/content"
)

func (h *handler) getBlob(w http.ResponseWriter, r request) error {
	d := digest.Digest(r.object)
	if err := content.CheckDigest(d); err != nil {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", err)
	}
	b, err := h.blob(r.Context(), r.name, d, r.askOthers())
	if err != nil {
		return err
	}
	defer b.Close()
	describeBlob(w, d)
	http.ServeContent(w, r.Request, "", time.Time{}, b.ReadSeeker) // ranges too
	return nil
}

// headBlob says whether a blob is here. Who pushes may rely on it for the time of grace. No other server is asked: a push
// goes on sooner than that is answered.
func (h *handler) headBlob(w http.ResponseWriter, r request) error {
	d := digest.Digest(r.object)
	if err := content.CheckDigest(d); err != nil {
		return refuse(http.StatusBadRequest, "DIGEST_INVALID", err)
	}
	if _, err := h.store.Keep(d); err != nil {
		return err
	}
	b, err := h.blob(r.Context(), r.name, d, false)
	if err != nil {
		return err
	}
	defer b.Close()
	describeBlob(w, d)
	w.Header().Set("Content-Length", strconv.FormatInt(b.size, 10))
	return nil
}

func describeBlob(w http.ResponseWriter, d digest.Digest) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", string(d))
	w.Header().Set("ETag", `"`+string(d)+`"`)
	w.Header().Set("Cache-Control", "max-age=31536000, immutable")
}
