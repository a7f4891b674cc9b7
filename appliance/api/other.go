package api

import (
	"context"
	"net/http"
	"time"
)

// otherLimit is how long another node may take to answer.
const otherLimit = 5 * time.Second

// handleOthers passes questions on to other nodes.
func handleOthers(mux *http.ServeMux, d Daemon) {
	ask := func(path string, question func(context.Context, *http.Request, Other) (any, error)) {
		mux.HandleFunc("GET /v1/nodes/{node}/"+path, func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), otherLimit)
			defer cancel()
			other, err := d.Other(r.PathValue("node"))
			if err != nil {
				answer(w, nil, err)
				return
			}
			defer other.Close()
			said, err := question(ctx, r, other)
			answer(w, said, err)
		})
	}
	ask("events", func(ctx context.Context, _ *http.Request, o Other) (any, error) { return o.Events(ctx) })
	ask("history", func(ctx context.Context, _ *http.Request, o Other) (any, error) { return o.History(ctx) })
	ask("components/{name}/log", func(ctx context.Context, r *http.Request, o Other) (any, error) {
		return o.Log(ctx, r.PathValue("name"), linesOf(r), r.FormValue("after"))
	})
}
