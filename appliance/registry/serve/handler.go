package serve

import (
	"errors"
	"log/slog"
	"net/http"
	"regexp"
	"strings"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

// handler answers as the OCI distribution specification 1.1 has it, and what servers and the command line ask beyond it.
type handler struct {
	*library
	settings Settings
	log      *slog.Logger
}

// request is one that was understood and is allowed.
type request struct {
	*http.Request
	name   string // full name of the repository
	object string // what it is about: a reference, a digest, the ID of an upload
}

// askOthers says whether what is not here may be asked for elsewhere: not for another server that asks us.
func (r request) askOthers() bool { return r.Header.Get(client.PeerHeader) == "" }

// route is one kind of request to a repository.
type route struct {
	method  string
	pattern *regexp.Regexp // with a group for the path of the repository, and one for the object
	right   Right
	unknown string // code for what is not here
	serve   func(*handler, http.ResponseWriter, request) error
}

func routes() []route {
	manifests := regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	blobs := regexp.MustCompile(`^/v2/(.+)/blobs/([^/]+)$`)
	uploads := regexp.MustCompile(`^/v2/(.+)/blobs/uploads/([^/]*)$`)
	tags := regexp.MustCompile(`^/v2/(.+)/tags/(list)$`)
	referrers := regexp.MustCompile(`^/v2/(.+)/referrers/([^/]+)$`)
	return []route{
		{http.MethodGet, manifests, RightPull, "MANIFEST_UNKNOWN", (*handler).getManifest},
		{http.MethodHead, manifests, RightPull, "MANIFEST_UNKNOWN", (*handler).getManifest},
		{http.MethodPut, manifests, RightPush, "MANIFEST_BLOB_UNKNOWN", (*handler).putManifest},
		{http.MethodDelete, manifests, RightPush, "MANIFEST_UNKNOWN", (*handler).deleteManifest},
		{http.MethodPost, uploads, RightPush, "BLOB_UPLOAD_UNKNOWN", (*handler).beginUpload},
		{http.MethodGet, uploads, RightPush, "BLOB_UPLOAD_UNKNOWN", (*handler).showUpload},
		{http.MethodPatch, uploads, RightPush, "BLOB_UPLOAD_UNKNOWN", (*handler).continueUpload},
		{http.MethodPut, uploads, RightPush, "BLOB_UPLOAD_UNKNOWN", (*handler).endUpload},
		{http.MethodDelete, uploads, RightPush, "BLOB_UPLOAD_UNKNOWN", (*handler).cancelUpload},
		{http.MethodGet, blobs, RightPull, "BLOB_UNKNOWN", (*handler).getBlob},
		{http.MethodHead, blobs, RightPull, "BLOB_UNKNOWN", (*handler).headBlob},
		{http.MethodGet, tags, RightPull, "NAME_UNKNOWN", (*handler).listTags},
		{http.MethodGet, referrers, RightPull, "NAME_UNKNOWN", (*handler).listReferrers},
	}
}

// newHandler returns the whole of what the registry answers.
func newHandler(l *library, s Settings, log *slog.Logger) http.Handler {
	h := &handler{l, s, log}
	table := routes()
	mux := http.NewServeMux()
	h.handle(mux, "GET "+client.RepositoriesPath, RightPull, h.listRepositories)
	h.handle(mux, "POST "+client.NoticePath, RightServer, h.notice)
	h.handle(mux, "POST "+client.SweepPath, RightServer, h.sweep)
	h.handle(mux, "GET "+client.StatusPath, RightPull, h.status)
	h.handle(mux, "GET /v2/_catalog", RightPull, h.catalog)
	h.handle(mux, "GET /v2/{$}", RightPull, func(w http.ResponseWriter, _ *http.Request) error {
		writeJSON(w, "application/json", struct{}{})
		return nil
	})
	mux.HandleFunc("/v2/", func(w http.ResponseWriter, r *http.Request) { h.dispatch(table, w, r) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Docker-Distribution-Api-Version", "registry/2.0")
		mux.ServeHTTP(w, r)
	})
}

// handle adds what is not about one repository.
func (h *handler) handle(mux *http.ServeMux, pattern string, right Right, serve func(http.ResponseWriter, *http.Request) error) {
	mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		err := h.authorize(w, r, right)
		if err == nil {
			err = serve(w, r)
		}
		h.finish(w, r, err, "UNKNOWN")
	})
}

// dispatch finds the route of a request to a repository.
func (h *handler) dispatch(table []route, w http.ResponseWriter, r *http.Request) {
	matched := false
	for _, route := range table {
		parts := route.pattern.FindStringSubmatch(r.URL.Path)
		if parts == nil {
			continue
		}
		matched = true
		if route.method != r.Method {
			continue
		}
		err := h.authorize(w, r, route.right)
		if err == nil {
			var name string
			name, err = content.FullName(strings.ToLower(r.URL.Query().Get("ns")), parts[1])
			if err = refuse(http.StatusBadRequest, "NAME_INVALID", err); err == nil {
				err = route.serve(h, w, request{r, name, parts[2]})
			}
		}
		h.finish(w, r, err, route.unknown)
		return
	}
	if matched {
		h.finish(w, r, refusal{http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method + " is not possible here"}, "")
		return
	}
	h.finish(w, r, refusal{http.StatusNotFound, "NAME_UNKNOWN", "there is no such path in a registry"}, "")
}

// authorize refuses who may not do what right stands for. Who is nobody is told how to say who they are.
func (h *handler) authorize(w http.ResponseWriter, r *http.Request, right Right) error {
	has, err := h.settings.right(r)
	switch {
	case err != nil:
		return err
	case has.allows(right):
		return nil
	case has == RightNone:
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		return refusal{http.StatusUnauthorized, "UNAUTHORIZED", "a user and a password are needed, which `appliance registry user add` makes"}
	}
	return refusal{http.StatusForbidden, "DENIED", "this user may not do that"}
}

// finish tells the client what went wrong, and the log what should not have.
func (h *handler) finish(w http.ResponseWriter, r *http.Request, err error, unknown string) {
	if err == nil || errors.Is(err, r.Context().Err()) && r.Context().Err() != nil {
		return
	}
	answer := asRefusal(err, unknown)
	if answer.status >= http.StatusInternalServerError {
		h.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	answer.write(w)
}
