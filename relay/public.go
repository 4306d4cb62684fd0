package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"freshet/origin/sse"
)

const allMethods = "GET, HEAD, POST, DELETE, OPTIONS"

// Handler answers the public listeners' requests: /events and all below it by
// the HTTP contract, everything else by Config.Pages.
//
// There is no mux here: one would clean the path of a topic with a segment ".."
// and redirect, where the contract wants an answer that says so.
func (r *Relay) Handler() http.Handler { return http.HandlerFunc(r.serve) }

func (r *Relay) serve(w http.ResponseWriter, req *http.Request) {
	path := req.URL.Path
	if path != "/events" && !strings.HasPrefix(path, "/events/") {
		if r.config.Pages == nil {
			newProblem(http.StatusNotFound, "there is nothing at %s; topics are below /events/", clip(path)).write(w)
			return
		}
		r.config.Pages.ServeHTTP(w, req)
		return
	}
	if req.Method == http.MethodOptions {
		r.sharing.preflight(w, req)
		return
	}
	r.sharing.share(w.Header(), req)
	switch req.Method {
	case http.MethodGet, http.MethodHead:
		r.subscribe(w, req)
	case http.MethodPost:
		r.publish(w, req)
	case http.MethodDelete:
		r.finish(w, req)
	default:
		p := newProblem(http.StatusMethodNotAllowed, "%s is not a method of topics: GET subscribes, POST publishes, DELETE ends", clip(req.Method))
		p.allow = allMethods
		p.write(w)
	}
}

// requestTopic returns the topic that the request names in its path, or in the
// query where the path is /events.
func requestTopic(req *http.Request, query url.Values) (string, *Problem) {
	name := strings.TrimPrefix(req.URL.Path, "/events")
	named := query["topic"]
	switch {
	case name != "" && len(named) > 0:
		return "", badField("topic", "the topic is named in the path and in the query")
	case name != "":
		name = name[1:]
	case len(named) == 0:
		return "", badField("topic", "no topic: use /events/TOPIC or /events?topic=TOPIC")
	case len(named) > 1:
		return "", badField("topic", "one stream follows one topic; %d were named", len(named))
	default:
		name = named[0]
	}
	name, err := sse.ParseTopic(name)
	if err != nil {
		return "", fieldProblem(err)
	}
	return name, nil
}

// requestQuery returns the request's query, which must be well-formed: a topic
// or an id that is silently dropped would be worse than a refusal.
func requestQuery(req *http.Request) (url.Values, *Problem) {
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		return nil, badField("query", "the query cannot be read: %v", err)
	}
	return query, nil
}

// fieldProblem is the answer to a field that may not be so.
func fieldProblem(err error) *Problem {
	var field *sse.FieldError
	if !errors.As(err, &field) {
		return newProblem(http.StatusBadRequest, "%v", err)
	}
	return badField(field.Field, "%s %s", field.Field, field.Reason)
}

// asProblem returns the problem that an error of a Committer, an Upstream or
// the relay itself is answered with.
func asProblem(err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	if code := status(err); code >= 400 && code < 600 {
		return newProblem(code, "%v", err)
	}
	return newProblem(http.StatusServiceUnavailable, "%v", fmt.Errorf("not committed: %w", err))
}
