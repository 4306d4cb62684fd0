package relay

import (
	"fmt"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Admin answers the admin listener's requests: /healthz, which says that the
// process runs, /readyz, which says whether it should be sent subscribers,
// /metrics and /debug/pprof, and Config.AdminPages for all else.
//
// What it shows is nobody's business but the operator's, so the Host must be
// one that no web page can have pointed here.
func (r *Relay) Admin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		if err := r.unready(); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.config.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	if r.config.AdminPages != nil {
		mux.Handle("/", r.config.AdminPages)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !adminHost(req.Host, r.config.AdminHosts) {
			newProblem(http.StatusMisdirectedRequest, "the admin pages are not at the host %q; more names are set by AdminHosts", req.Host).write(w)
			return
		}
		mux.ServeHTTP(w, req)
	})
}

// adminHost reports whether host is a name of the operator's: an address, a
// name that public DNS does not have, or one that was configured.
func adminHost(host string, more []string) bool {
	name := hostName(host)
	if _, err := netip.ParseAddr(name); err == nil {
		return true
	}
	return name == "" || !strings.Contains(name, ".") || strings.HasSuffix(name, ".localhost") || slices.Contains(more, name)
}
