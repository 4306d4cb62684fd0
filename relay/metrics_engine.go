package relay

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/relay/h3"
	"freshet/relay/netloop"
)

// limitHits counts how often each limit was met. Some are the engine's to
// enforce, which keeps its own count.
type limitHits struct {
	// static after construction
	engine *netloop.Engine
	http3  *h3.Server // nil = there is none
	own    map[limit]*atomic.Uint64
}

func newLimitHits(engine *netloop.Engine, http3 *h3.Server) limitHits {
	h := limitHits{engine, http3, make(map[limit]*atomic.Uint64)}
	for _, l := range []limit{limitConnections, limitHandshakes, limitSubscribers, limitTopics, limitEventBytes,
		limitPublishes, limitPublishKeys, limitAddressShare, limitMemory} {
		h.own[l] = new(atomic.Uint64)
	}
	return h
}

func (h limitHits) add(l limit) { h.own[l].Add(1) }

// counts returns the sums of them all.
func (h limitHits) counts() map[limit]uint64 {
	refused := h.engine.Stats().Refused
	sums := make(map[limit]uint64, len(h.own))
	for l, n := range h.own {
		sums[l] = n.Load()
	}
	sums[limitConnections] += refused.Connections + refused.Descriptors
	sums[limitHandshakes] += refused.Handshakes
	sums[limitAddressShare] += refused.Address
	if h.http3 != nil {
		stats := h.http3.Stats()
		sums[limitConnections] += stats.RefusedFull
		sums[limitHandshakes] += stats.RefusedHandshakes
		sums[limitAddressShare] += stats.RefusedAddress
	}
	return sums
}

var limitHitsDesc = prometheus.NewDesc("freshet_relay_limit_hits_total", "Times a limit was met.", []string{"limit"}, nil)

func (h limitHits) Describe(to chan<- *prometheus.Desc) { to <- limitHitsDesc }

func (h limitHits) Collect(to chan<- prometheus.Metric) {
	for l, n := range h.counts() {
		to <- prometheus.MustNewConstMetric(limitHitsDesc, prometheus.CounterValue, float64(n), string(l))
	}
}

// engineCollector shows what the engine counts of its connections.
type engineCollector struct{ engine *netloop.Engine }

var (
	engineConnections = prometheus.NewDesc("freshet_relay_connections", "Connections open now, but for those of HTTP/3.", nil, nil)
	engineHandshakes  = prometheus.NewDesc("freshet_relay_handshakes", "Connections on their way to their first request.", nil, nil)
	engineRequests    = prometheus.NewDesc("freshet_relay_requests_in_flight", "HTTP/2 requests in their handlers.", nil, nil)
	engineAccepted    = prometheus.NewDesc("freshet_relay_connections_accepted_total", "Connections accepted, those refused at once included.", nil, nil)
	engineFailed      = prometheus.NewDesc("freshet_relay_handshakes_failed_total", "Connections that never came to a request.", nil, nil)
	engineRead        = prometheus.NewDesc("freshet_relay_read_bytes_total", "Bytes read from connections, as on the wire.", nil, nil)
	engineWritten     = prometheus.NewDesc("freshet_relay_written_bytes_total", "Bytes written to connections, as on the wire.", nil, nil)
	engineWrites      = prometheus.NewDesc("freshet_relay_writes_total", "Writes to sockets.", nil, nil)
	engineHeartbeats  = prometheus.NewDesc("freshet_relay_heartbeats_total", "Heartbeats sent.", nil, nil)
	engineErrors      = prometheus.NewDesc("freshet_relay_protocol_errors_total", "Connections closed because of what the peer sent.", nil, nil)
)

func (c engineCollector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{engineConnections, engineHandshakes, engineRequests, engineAccepted, engineFailed,
		engineRead, engineWritten, engineWrites, engineHeartbeats, engineErrors} {
		to <- d
	}
}

func (c engineCollector) Collect(to chan<- prometheus.Metric) {
	stats := c.engine.Stats()
	var sum netloop.LoopStats
	for _, l := range stats.Loops {
		sum.Read += l.Read
		sum.Written += l.Written
		sum.Writes += l.Writes
		sum.Heartbeats += l.Heartbeats
		sum.ProtocolErrors += l.ProtocolErrors
	}
	gauge := func(d *prometheus.Desc, n int) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	counter := func(d *prometheus.Desc, n uint64) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n))
	}
	gauge(engineConnections, stats.Connections)
	gauge(engineHandshakes, stats.Handshakes)
	gauge(engineRequests, stats.Requests)
	counter(engineAccepted, stats.Accepted)
	counter(engineFailed, stats.FailedHandshakes)
	counter(engineRead, sum.Read)
	counter(engineWritten, sum.Written)
	counter(engineWrites, sum.Writes)
	counter(engineHeartbeats, sum.Heartbeats)
	counter(engineErrors, sum.ProtocolErrors)
}
