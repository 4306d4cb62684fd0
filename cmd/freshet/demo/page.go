package demo

import (
	"embed"
	"encoding/json"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

//go:embed page
var files embed.FS

// A Page serves the page and what it asks for besides the events. It belongs
// on the same host and port as the relay: then the browser needs no CORS, and
// over HTTP/2 streams and page share a connection.
type Page struct {
	// Origin is whose counters the page compares its own with.
	Origin *Origin

	// Subscribers counts the streams that the relay serves now. Nil means
	// that nobody knows, and the page says so.
	Subscribers func() int

	// Cluster is the relays behind the page. Nil means that there is one, the
	// page's own.
	Cluster Cluster

	// Hosts are names under which the page may be asked for, without port,
	// besides localhost, names below it, and IP addresses. A page of another
	// site can make its own name point at 127.0.0.1, but not at these.
	Hosts []string
}

// status is the answer to GET /demo/status.
type status struct {
	Now         float64       `json:"now"` // the origin's clock, Unix milliseconds
	Run         string        `json:"run"`
	Subscribers *int          `json:"subscribers"` // null: not known
	Topics      []topicStatus `json:"topics"`
	Relays      []Relay       `json:"relays,omitempty"`
}

type topicStatus struct {
	Topic string   `json:"topic"`
	Types []string `json:"types"` // to listen for
	Sent  uint64   `json:"sent"`  // n of the last event that the relay has acknowledged
}

// Handler answers GET / and GET /demo/...
func (p *Page) Handler() http.Handler {
	content, err := fs.Sub(files, "page")
	if err != nil {
		panic(err) // the directory is embedded
	}
	assets := http.FileServerFS(content)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, content, "index.html")
	})
	mux.Handle("GET /demo/", http.StripPrefix("/demo/", assets))
	mux.HandleFunc("GET /demo/status", p.status)
	mux.HandleFunc("POST /demo/kill", p.kill)
	return p.guard(http.NewCrossOriginProtection().Handler(mux))
}

// guard refuses foreign names and closes the page to everything it does not need.
func (p *Page) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !p.knows(r.Host) {
			http.Error(w, "The demo does not answer under the name "+r.Host+".\n", http.StatusMisdirectedRequest)
			return
		}
		h := w.Header()
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "+
			"img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

func (p *Page) knows(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return true
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || slices.Contains(p.Hosts, host)
}

func (p *Page) status(w http.ResponseWriter, r *http.Request) {
	run, sent := p.Origin.Progress()
	s := status{Run: run}
	for _, topic := range Topics {
		s.Topics = append(s.Topics, topicStatus{Topic: topic, Types: Types[topic], Sent: sent[topic]})
	}
	if p.Subscribers != nil {
		n := p.Subscribers()
		s.Subscribers = &n
	}
	if p.Cluster != nil {
		s.Relays = p.Cluster.Relays(r.URL.Query().Get("page"))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	s.Now = float64(time.Now().UnixMicro()) / 1000 // last: the page measures from here
	json.NewEncoder(w).Encode(s)                   // an error is the client's going away
}
