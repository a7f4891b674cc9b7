package api

import (
	"context"
	"log/slog"
	"net/http"

	"islet/appliance/component"
	"islet/appliance/plan"
	"islet/appliance/redact"
)

// ServeView serves what only tells, on a unix socket of mode 0666 until ctx is cancelled: a console that anybody can walk up
// to runs without rights, and can neither change a thing nor learn more than that here.
//
// Nobody needs a group for it. What is told is names, addresses, states and figures, the same that stands on the console;
// keys, tokens and passwords are in none of it. The reasons and details are what other programs have printed, so secrets are
// taken out of those. Logs are not told: nobody knows what is in them.
func ServeView(ctx context.Context, socket string, d Daemon, log *slog.Logger) error {
	return listen(ctx, socket, 0o666, viewHandler(d), log)
}

func viewHandler(d Daemon) http.Handler {
	r := redact.New(nil)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) { answer(w, clean(r, d.Status()), nil) })
	mux.HandleFunc("GET /v1/site", func(w http.ResponseWriter, _ *http.Request) {
		all := d.Site()
		for i := range all {
			all[i].Status = clean(r, all[i].Status)
		}
		answer(w, all, nil)
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, _ *http.Request) {
		events := append([]component.Event{}, d.Events()...)
		for i := range events {
			events[i].Reason = r.String(events[i].Reason)
		}
		answer(w, events, nil)
	})
	mux.HandleFunc("GET /v1/history", func(w http.ResponseWriter, _ *http.Request) { answer(w, d.History(), nil) })
	mux.HandleFunc("GET /v1/plans", func(w http.ResponseWriter, _ *http.Request) {
		plans, err := d.Plans()
		answer(w, cleanPlans(r, plans), err)
	})
	mux.HandleFunc("GET /v1/pods", func(w http.ResponseWriter, q *http.Request) {
		pods, err := d.Pods(q.Context())
		pods = append([]Pod{}, pods...)
		for i := range pods {
			pods[i].Detail = r.String(pods[i].Detail)
		}
		answer(w, pods, err)
	})
	return mux
}

// cleanPlans are journals without secrets in what has failed.
func cleanPlans(r *redact.Redactor, plans []plan.Journal) []plan.Journal {
	plans = append([]plan.Journal{}, plans...)
	for i := range plans {
		plans[i].Error = r.String(plans[i].Error)
		plans[i].Steps = append([]plan.Step{}, plans[i].Steps...)
		for k := range plans[i].Steps {
			plans[i].Steps[k].Error = r.String(plans[i].Steps[k].Error)
		}
	}
	return plans
}

// clean is a status without secrets in what other programs have said. The daemon's own lists stay as they are.
func clean(r *redact.Redactor, s Status) Status {
	s.Components = append([]component.Status{}, s.Components...)
	for i := range s.Components {
		s.Components[i].Reason = r.String(s.Components[i].Reason)
	}
	s.Problems = append(s.Problems[:0:0], s.Problems...)
	for i := range s.Problems {
		s.Problems[i].Detail = r.String(s.Problems[i].Detail)
	}
	s.Servers = append(s.Servers[:0:0], s.Servers...)
	for i := range s.Servers {
		s.Servers[i].Reason = r.String(s.Servers[i].Reason)
	}
	return s
}
