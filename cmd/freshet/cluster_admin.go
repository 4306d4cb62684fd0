package main

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"freshet/origin/sse"
	"freshet/relay"
)

// adminPatience is how long an admin page waits for what it shows.
const adminPatience = 5 * time.Second

// clusterPages answers on the admin listener:
//
//	GET /cluster                 the members, and the links to them
//	GET /cluster/topics/{topic}  who owns a topic, and how it stands here
func (s *service) clusterPages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /cluster", func(w http.ResponseWriter, r *http.Request) {
		if s.member == nil {
			writeProblem(w, http.StatusNotFound, "this relay is of no cluster; the section \"cluster\" of the configuration makes it a member of one")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
		defer cancel()
		status, err := s.member.Status(ctx)
		if err != nil {
			writeProblem(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		writeJSON(w, http.StatusOK, status)
	})
	mux.HandleFunc("GET /cluster/topics/{topic...}", func(w http.ResponseWriter, r *http.Request) {
		topic, err := sse.ParseTopic(r.PathValue("topic"))
		switch {
		case err != nil:
			writeProblem(w, http.StatusBadRequest, "topic: "+err.Error())
			return
		case s.member == nil:
			writeProblem(w, http.StatusNotFound, "this relay is of no cluster: it has all topics to itself")
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), adminPatience)
		defer cancel()
		status, known, err := s.member.TopicAnywhere(ctx, topic)
		switch {
		case err != nil:
			writeProblem(w, http.StatusServiceUnavailable, err.Error())
		case !known:
			writeProblem(w, http.StatusNotFound, s.member.unknownTopic(topic))
		default:
			writeJSON(w, http.StatusOK, status)
		}
	})
	return mux
}

func writeJSON(w http.ResponseWriter, status int, answer any) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if h.Get("Content-Type") == "" {
		h.Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(answer) // an error is the client's going away
}

// writeProblem answers as RFC 9457 has it.
func writeProblem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	writeJSON(w, status, relay.Problem{Title: http.StatusText(status), Status: status, Detail: detail})
}
