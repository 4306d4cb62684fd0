package relay

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Label values. Each is a closed type, so that no topic and no client can ever
// become one.
type (
	limit  string // a setting under limits
	joined string // how a subscribe request was answered
	left   string // why a stream ended
	reason string // why a gap
	posted string // what became of a publish request
)

const (
	limitConnections  limit = "connections"
	limitHandshakes   limit = "handshakes"
	limitStreams      limit = "streams_per_connection"
	limitSubscribers  limit = "subscribers"
	limitTopics       limit = "topics"
	limitEventBytes   limit = "event_bytes"
	limitHeaderBytes  limit = "header_bytes"
	limitPublishes    limit = "publishes"
	limitPublishKeys  limit = "publish_keys"
	limitAddressShare limit = "address_share"
	limitMemory       limit = "memory"

	joinedLive     joined = "live"     // from the head on
	joinedReplay   joined = "replay"   // from an event or time before it
	joinedGap      joined = "gap"      // resumed from what is no longer, or was never, here
	joinedEnded    joined = "ended"    // 204
	joinedOverload joined = "overload" // sent away with a retry
	joinedRefused  joined = "refused"  // 4xx

	leftGone    left = "gone"    // the peer closed
	leftStalled left = "stalled" // it took no byte for Config.Stall
	leftEnded   left = "ended"   // the topic ended
	leftDrained left = "drained" // sent away, with a retry
	leftStopped left = "stopped" // cut off, the drain time was up
	leftTorn    left = "torn"    // in the middle of a large event that the ring had to forget

	gapUnknown reason = "unknown"
	gapEvicted reason = "evicted"
	gapLapped  reason = "lapped"
	gapOrigin  reason = "origin"

	postedCommitted posted = "committed"
	postedDuplicate posted = "duplicate"
	postedConflict  posted = "conflict"
	postedRefused   posted = "refused"
	postedFailed    posted = "failed" // not committed: cut, timed out, unavailable
)

// metrics is what the relay counts. Rates are here, surprises are in the log.
type metrics struct {
	events     prometheus.Counter
	eventBytes prometheus.Counter
	trims      prometheus.Counter
	joins      map[joined]prometheus.Counter
	leaves     map[left]prometheus.Counter
	gaps       map[reason]prometheus.Counter
	posts      map[posted]prometheus.Counter
	hits       limitHits
	gzip       gzipMetrics

	// Deliveries are counted where they happen, each loop for itself.
	delivered [loopCounters]delivered
}

// loopCounters is how many loops count apart; more share.
const loopCounters = 64

// delivered is one loop's count. The padding keeps two loops from sharing a
// cache line.
type delivered struct {
	events atomic.Uint64
	bytes  atomic.Uint64
	shared atomic.Uint64 // events by form, on compressed streams
	stored atomic.Uint64
	_      [96]byte
}

func newMetrics(r *Relay, reg prometheus.Registerer) *metrics {
	m := &metrics{}
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		reg.MustRegister(c)
		return c
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	sum := func(name, help string, f func(*delivered) uint64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 {
			var n uint64
			for i := range m.delivered {
				n += f(&m.delivered[i])
			}
			return float64(n)
		}))
	}

	m.events = counter("freshet_relay_events_total", "Events committed to this relay's topics.")
	m.eventBytes = counter("freshet_relay_event_bytes_total", "Bytes of the events committed, as they are sent.")
	m.trims = counter("freshet_relay_history_trims_total", "Times a topic gave history back because limits.memory was reached.")
	sum("freshet_relay_deliveries_total", "Events handed to subscribers' connections.", func(d *delivered) uint64 { return d.events.Load() })
	sum("freshet_relay_delivered_bytes_total", "Bytes of streams handed to subscribers' connections.", func(d *delivered) uint64 { return d.bytes.Load() })
	m.joins = counters[joined](reg, "freshet_relay_subscribes_total", "Subscribe requests by how they were answered.", "answer",
		joinedLive, joinedReplay, joinedGap, joinedEnded, joinedOverload, joinedRefused)
	m.leaves = counters[left](reg, "freshet_relay_streams_ended_total", "Streams that ended, by cause.", "cause",
		leftGone, leftStalled, leftEnded, leftDrained, leftStopped, leftTorn)
	m.gaps = counters[reason](reg, "freshet_relay_gaps_total", "Gaps told: to one subscriber each, those of an origin to a topic.", "reason",
		gapUnknown, gapEvicted, gapLapped, gapOrigin)
	m.posts = counters[posted](reg, "freshet_relay_publishes_total", "Publish requests that are over, by outcome.", "outcome",
		postedCommitted, postedDuplicate, postedConflict, postedRefused, postedFailed)
	m.gzip.register(r, reg, &m.delivered)
	m.hits = newLimitHits(r.engine, r.http3)
	reg.MustRegister(m.hits)
	reg.MustRegister(engineCollector{r.engine})
	if r.http3 != nil {
		reg.MustRegister(http3Collector{r.http3})
	}

	limits := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "freshet_relay_limit", Help: "The limits in force."}, []string{"limit"})
	reg.MustRegister(limits)
	l := &r.config.Limits
	for name, value := range map[limit]float64{
		limitConnections:  float64(l.Connections),
		limitHandshakes:   float64(l.Handshakes),
		limitStreams:      float64(l.StreamsPerConnection),
		limitSubscribers:  float64(l.Subscribers),
		limitTopics:       float64(l.Topics),
		limitEventBytes:   float64(l.EventBytes),
		limitHeaderBytes:  float64(l.HeaderBytes),
		limitPublishes:    float64(l.Publishes),
		limitPublishKeys:  float64(l.PublishKeys),
		limitAddressShare: l.AddressShare,
		limitMemory:       float64(l.Memory),
	} {
		limits.WithLabelValues(string(name)).Set(value)
	}

	gauge("freshet_relay_subscribers", "Streams open now.", func() float64 { return float64(r.admission.subscribers.Load()) })
	gauge("freshet_relay_publishes_in_flight", "Publish requests under way.", func() float64 { return float64(r.admission.publishes.Load()) })
	gauge("freshet_relay_publish_keys", "Publish keys remembered.", func() float64 { return float64(r.keys.len()) })
	gauge("freshet_relay_topics", "Topics known.", func() float64 { return float64(r.topics.len()) })
	gauge("freshet_relay_memory_bytes", "Memory of the topics' events, bounded by limits.memory.", func() float64 { return float64(r.topics.memory.Load()) })
	gauge("freshet_relay_held_bytes", "Memory of the rests of events that were cut by a full connection.", func() float64 { return float64(r.held.bytes.Load()) })
	gauge("freshet_relay_draining", "1 while subscribers are being sent away.", func() float64 {
		if r.draining() {
			return 1
		}
		return 0
	})
	return m
}

// counters makes one counter for each label value, at zero.
func counters[L ~string](reg prometheus.Registerer, name, help, label string, values ...L) map[L]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	reg.MustRegister(vec)
	m := make(map[L]prometheus.Counter, len(values))
	for _, v := range values {
		m[v] = vec.WithLabelValues(string(v))
	}
	return m
}
