package audit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// event is what the API server writes of a request (audit.k8s.io/v1), as far as it is used here.
type event struct {
	AuditID    string   `json:"auditID"`
	Stage      string   `json:"stage"`
	RequestURI string   `json:"requestURI"`
	Verb       string   `json:"verb"`
	User       user     `json:"user"`
	As         *user    `json:"impersonatedUser"`
	SourceIPs  []string `json:"sourceIPs"`
	UserAgent  string   `json:"userAgent"`
	Object     *struct {
		Resource    string `json:"resource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
		Group       string `json:"apiGroup"`
		Subresource string `json:"subresource"`
	} `json:"objectRef"`
	Response struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
	Request struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
	} `json:"requestObject"`
	At time.Time `json:"stageTimestamp"`
}

type user struct {
	Name string `json:"username"`
}

// writes are the verbs that change something; a shell in a container is asked for by the others.
var writes = []string{"create", "update", "patch", "delete", "deletecollection"}

// shells are what lets somebody into a container.
var shells = []string{"exec", "attach", "portforward", "ephemeralcontainers"}

// asking are groups whose objects are questions, not deeds.
var asking = []string{"authorization.k8s.io", "authentication.k8s.io"}

// agentName begins the User-Agent of the command line; what is in brackets is who called it, and with what.
const agentName = "appliance ("

// Agent is the User-Agent of a command: the API server writes it down with what the command did.
func Agent(who string, command []string) string {
	words := []string{}
	for _, w := range command {
		if !strings.HasPrefix(w, "-") && !strings.Contains(w, "=") { // values are nobody's business
			words = append(words, w)
		}
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' || r == '(' || r == ')' {
			return '?'
		}
		return r
	}, who+": "+strings.Join(words, " "))
	return agentName + text[:min(len(text), 200)] + ")"
}

// parseEvent reads a line of the API server's log. What programs of the site do, and what only looks, gives none.
func parseEvent(line []byte) (Entry, bool, error) {
	var ev event
	if err := json.Unmarshal(line, &ev); err != nil {
		return Entry{}, false, fmt.Errorf("%w: a line of the API server's log: %w", ErrMalformed, err)
	}
	if !ev.isDeed() {
		return Entry{}, false, nil
	}
	e := Entry{Time: ev.At, Who: ev.User.Name, Verb: ev.Verb, Object: ev.object(), Result: ev.Response.Code, Event: ev.AuditID}
	if ev.As != nil {
		e.Detail = "in the name of " + ev.As.Name
	}
	if len(ev.SourceIPs) > 0 {
		e.From = ev.SourceIPs[0]
	}
	if said, ok := strings.CutPrefix(ev.UserAgent, agentName); ok && ev.User.Name == "islet:admin" {
		e.Command = strings.TrimSuffix(said, ")")
	}
	return e, true, nil
}

func (ev event) isDeed() bool {
	o := ev.Object
	if o == nil || ev.Stage != "ResponseComplete" && ev.Stage != "ResponseStarted" || slices.Contains(asking, o.Group) || strings.Contains(ev.RequestURI, "dryRun=All") {
		return false
	}
	shell := o.Resource == "pods" && slices.Contains(shells, o.Subresource)
	if ev.Stage == "ResponseStarted" || !shell && !slices.Contains(writes, ev.Verb) {
		return false
	}
	return !isProgram(ev.User.Name)
}

// isProgram says whether a user is part of the site itself. People have the names that a site's means of authentication gives them,
// which begin with neither of these, and administrators on servers are islet:admin.
func isProgram(name string) bool {
	return name != "islet:admin" && (strings.HasPrefix(name, "islet:") || strings.HasPrefix(name, "system:node:") || strings.HasPrefix(name, "system:kube-") ||
		strings.HasPrefix(name, "system:serviceaccount:kube-system:") || strings.HasPrefix(name, "system:serviceaccount:islet-system:") || name == "system:apiserver")
}

func (ev event) object() string {
	o := ev.Object
	name := o.Name
	if name == "" {
		name = ev.Request.Metadata.Name
	}
	resource := o.Resource
	if o.Group != "" {
		resource += "." + o.Group
	}
	path := resource + "/" + name
	if o.Namespace != "" && o.Resource != "namespaces" {
		path = o.Namespace + "/" + path
	}
	if o.Subresource != "" {
		path += "/" + o.Subresource
	}
	return path
}
