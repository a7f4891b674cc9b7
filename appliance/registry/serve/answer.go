package serve

import (
	"encoding/json"
	"errors"
	"net/http"

	"islet/appliance/registry/content"
)

// refusal is an error with the code that the distribution specification has for it.
type refusal struct {
	status  int
	code    string
	message string
}

func (r refusal) Error() string { return r.message }

// refuse makes the refusal for err; nil stays nil.
func refuse(status int, code string, err error) error {
	if err == nil {
		return nil
	}
	return refusal{status, code, err.Error()}
}

// asRefusal finds the code for an error that does not bring its own. unknown is that for something that is not here.
func asRefusal(err error, unknown string) refusal {
	if r, ok := errors.AsType[refusal](err); ok {
		return r
	}
	switch {
	case errors.Is(err, content.ErrUnknown):
		return refusal{http.StatusNotFound, unknown, err.Error()}
	case errors.Is(err, content.ErrDigest):
		return refusal{http.StatusBadRequest, "DIGEST_INVALID", err.Error()}
	case errors.Is(err, content.ErrManifest):
		return refusal{http.StatusBadRequest, "MANIFEST_INVALID", err.Error()}
	case errors.Is(err, content.ErrOffset):
		return refusal{http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", err.Error()}
	case errors.Is(err, content.ErrFull):
		return refusal{http.StatusInsufficientStorage, "DENIED", err.Error()}
	}
	return refusal{http.StatusInternalServerError, "UNKNOWN", err.Error()}
}

func (r refusal) write(w http.ResponseWriter) {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	writeBody(w, map[string][]entry{"errors": {{r.code, r.message}}})
}

func writeJSON(w http.ResponseWriter, mediaType string, body any) {
	w.Header().Set("Content-Type", mediaType)
	writeBody(w, body)
}

func writeBody(w http.ResponseWriter, body any) {
	_ = json.NewEncoder(w).Encode(body) // the client went away: nothing to do
}
