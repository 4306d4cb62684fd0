package demo

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
)

// A Cluster is the relays behind the page, where there are several.
type Cluster interface {
	// Relays tells how each of them stands, always in the same order. Page is the
	// name that a page gave itself in the query of its streams.
	Relays(page string) []Relay

	// Kill kills the relay that owns a topic, as a power cut would, and returns
	// its name. ErrNotNow says that it would be one too many.
	Kill(topic string) (name string, err error)
}

// ErrNotNow is returned by a Cluster that has no relay to spare.
var ErrNotNow = errors.New("one relay at a time: wait until all are there, one owns the topic, and another stands by")

// A Relay is one of a cluster, as the page shows it.
type Relay struct {
	Name        string   `json:"name"`
	State       string   `json:"state"`   // live, starting, killed
	Serves      bool     `json:"serves"`  // the page that asks
	Owns        []string `json:"owns"`    // topics
	StandsBy    []string `json:"standby"` // topics
	Subscribers int      `json:"subscribers"`
}

// kill answers POST /demo/kill.
func (p *Page) kill(w http.ResponseWriter, r *http.Request) {
	topic := r.URL.Query().Get("topic")
	if p.Cluster == nil || !slices.Contains(Topics[:], topic) {
		http.Error(w, "There is no such relay to kill.", http.StatusNotFound)
		return
	}
	name, err := p.Cluster.Kill(topic)
	if err != nil {
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	json.NewEncoder(w).Encode(map[string]string{"killed": name}) // an error is the client's going away
}
