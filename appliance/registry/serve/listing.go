package serve

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"islet/appliance/registry/client"
	"islet/appliance/registry/content"
)

func (h *handler) listTags(w http.ResponseWriter, r request) error {
	record := h.record(r.name)
	if len(record.Live()) == 0 && r.askOthers() && h.others.fetch(r.Context(), r.name) {
		record = h.record(r.name)
	}
	if len(record.Live()) == 0 {
		return content.ErrUnknown
	}
	tags, err := page(w, r.Request, record.TagNames())
	if err != nil {
		return err
	}
	writeJSON(w, "application/json", map[string]any{"name": r.name, "tags": tags})
	return nil
}

func (h *handler) catalog(w http.ResponseWriter, r *http.Request) error {
	names := h.names()
	slices.Sort(names)
	names, err := page(w, r, names)
	if err != nil {
		return err
	}
	writeJSON(w, "application/json", map[string]any{"repositories": names})
	return nil
}

// page cuts the part out of a list that the parameters n and last ask for, and links the next one.
func page(w http.ResponseWriter, r *http.Request, list []string) ([]string, error) {
	query := r.URL.Query()
	if last := query.Get("last"); last != "" {
		if i := slices.Index(list, last); i >= 0 {
			list = list[i+1:]
		} else {
			list = slices.DeleteFunc(list, func(s string) bool { return s <= last })
		}
	}
	if asked := query.Get("n"); asked != "" {
		n, err := strconv.Atoi(asked)
		if err != nil || n < 0 {
			return nil, refusal{http.StatusBadRequest, "PAGINATION_NUMBER_INVALID", "n is not a number of entries"}
		}
		if n < len(list) {
			list = list[:n]
			if n > 0 {
				next := url.Values{"n": {asked}, "last": {list[n-1]}}
				if host := query.Get("ns"); host != "" {
					next.Set("ns", host)
				}
				w.Header().Set("Link", "<"+r.URL.Path+"?"+next.Encode()+`>; rel="next"`)
			}
		}
	}
	if list == nil {
		list = []string{}
	}
	return list, nil
}

// listRepositories gives other servers, and `appliance image list`, the records of what was pushed.
func (h *handler) listRepositories(w http.ResponseWriter, r *http.Request) error {
	all := h.store.Repositories()
	if name := r.URL.Query().Get("name"); name != "" {
		all = map[string]content.Repository{name: h.store.Repository(name)}
	}
	writeJSON(w, "application/json", all)
	return nil
}

// notice fetches what another server says it has. It goes on when that server no longer waits: it would ask again.
func (h *handler) notice(w http.ResponseWriter, r *http.Request) error {
	var n client.Notice
	if err := readBody(r, &n); err != nil {
		return err
	}
	if err := content.CheckName(n.Repository); err != nil {
		return refuse(http.StatusBadRequest, "NAME_INVALID", err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), pushLimit)
	defer cancel()
	if err := h.others.pull(ctx, n.From, n.Repository); err != nil {
		return err
	}
	h.log.Info("repository fetched", "repository", n.Repository, "server", n.From)
	writeJSON(w, "application/json", struct{}{})
	return nil
}

func (h *handler) sweep(w http.ResponseWriter, _ *http.Request) error {
	swept, err := h.store.Sweep(content.Grace)
	if err != nil {
		return err
	}
	h.log.Info("blobs removed", "blobs", swept.Blobs, "bytes", swept.Bytes)
	writeJSON(w, "application/json", swept)
	return nil
}

func (h *handler) status(w http.ResponseWriter, _ *http.Request) error {
	writeJSON(w, "application/json", client.Status{
		Repositories: len(h.names()), Peers: len(h.others.others()), Alone: h.others.alone(),
	})
	return nil
}
