package relay

import (
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/relay/h3"
	"freshet/relay/netloop"
)

// newHTTP3 returns the server of Config.HTTP3; nil if there is none.
func newHTTP3(c *Config, places *netloop.Places, handler http.Handler) *h3.Server {
	if c.HTTP3 == nil {
		return nil
	}
	return &h3.Server{
		Handler:     handler,
		TLS:         c.TLS,
		Secret:      c.HTTP3Secret,
		Places:      places,
		Handshakes:  c.Limits.Handshakes,
		Streams:     c.Limits.StreamsPerConnection,
		HeaderBytes: c.Limits.HeaderBytes,
		Heartbeat:   c.Heartbeat,
		Stall:       c.Stall,
		Drain:       moment,
		Log:         c.Log,
	}
}

// advertise tells those who come by TCP of HTTP/3, if there is any.
func advertise(udp net.PacketConn, handler http.Handler) http.Handler {
	if udp == nil {
		return handler
	}
	return h3.Advertise(h3.AltSvc(udp.LocalAddr()), handler)
}

// take gives the stream to a loop of what serves the request.
func (r *Relay) take(w http.ResponseWriter, req *http.Request, t *topic, s netloop.Body) error {
	if r.http3 != nil && req.ProtoMajor == 3 {
		return h3.Take(w, req, s, t.fanout3())
	}
	return netloop.Take(w, req, s, t.fanout())
}

// fanout3 is what fanout is, of those who come by HTTP/3.
func (t *topic) fanout3() *h3.Fanout {
	a := &t.audience
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.fanout3 == nil {
		a.fanout3 = t.relay.http3.NewFanout(t.relay.config.Topics.Coalesce)
	}
	return a.fanout3
}

// http3Collector shows what is HTTP/3's own.
type http3Collector struct{ server *h3.Server }

var (
	http3Connections = prometheus.NewDesc("freshet_relay_http3_connections", "HTTP/3 connections open now.", nil, nil)
	http3Streams     = prometheus.NewDesc("freshet_relay_http3_subscribers", "Subscribers over HTTP/3.", nil, nil)
	http3Apart       = prometheus.NewDesc("freshet_relay_http3_subscribers_behind", "Subscribers over HTTP/3 that wait for the network.", nil, nil)
	http3Retries     = prometheus.NewDesc("freshet_relay_http3_retries_total", "Peers that had to prove their address before a handshake.", nil, nil)
	http3Early       = prometheus.NewDesc("freshet_relay_http3_too_early_total", "Requests that came too early in a handshake to be safe, answered 425.", nil, nil)
)

func (c http3Collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{http3Connections, http3Streams, http3Apart, http3Retries, http3Early} {
		to <- d
	}
}

func (c http3Collector) Collect(to chan<- prometheus.Metric) {
	stats := c.server.Stats()
	gauge := func(d *prometheus.Desc, n int64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	gauge(http3Connections, int64(stats.Connections))
	gauge(http3Streams, stats.Streams)
	gauge(http3Apart, stats.Apart)
	to <- prometheus.MustNewConstMetric(http3Retries, prometheus.CounterValue, float64(stats.Retries))
	to <- prometheus.MustNewConstMetric(http3Early, prometheus.CounterValue, float64(stats.Early))
}
