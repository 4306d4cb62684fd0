package origin

import (
	"context"
	"errors"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics counts what Sources do. One is shared by all Sources of a process.
type Metrics struct {
	attempts map[attemptResult]prometheus.Counter
	open     prometheus.Gauge
	bytes    prometheus.Counter
	events   prometheus.Counter
	repeats  prometheus.Counter
	replaced prometheus.Counter
	jumps    prometheus.Counter
	jumped   prometheus.Counter
	gaps     map[gapReason]prometheus.Counter
	dropped  map[dropReason]prometheus.Counter
	unasked  map[unaskedReason]prometheus.Counter
}

type attemptResult string

const (
	attemptOpened      attemptResult = "opened"
	attemptUnreachable attemptResult = "unreachable" // no answer
	attemptIdle        attemptResult = "idle"        // no answer in idle_timeout
	attemptRefused     attemptResult = "refused"     // 4xx
	attemptFailed      attemptResult = "failed"      // 5xx
	attemptEnded       attemptResult = "ended"       // 204
	attemptOther       attemptResult = "other"       // not an event stream
)

type gapReason string

const (
	gapOrigin  gapReason = "origin"  // the origin said so
	gapNoID    gapReason = "no_id"   // it gave no id to resume from
	gapRestart gapReason = "restart" // resumed after an id of a relay that has restarted
	gapLarge   gapReason = "large"   // an event was larger than max_event
	gapRefused gapReason = "refused" // an event was not taken
)

type dropReason string

const (
	droppedReserved dropReason = "reserved" // of a reserved type
	droppedAddress  dropReason = "address"  // named no topic of the feed
	droppedLarge    dropReason = "large"    // larger than max_event
	droppedRefused  dropReason = "refused"  // not taken by the relay
	droppedEnded    dropReason = "ended"    // for a topic that has ended here
)

type unaskedReason string

const (
	unaskedMiss unaskedReason = "miss"      // the origin lately did not have it
	unaskedBusy unaskedReason = "max_pulls" // so many are pulled already
	unaskedRate unaskedReason = "miss_rate" // too many were asked for in vain
)

// NewMetrics returns metrics that are registered with r, or nowhere if r is nil.
func NewMetrics(r prometheus.Registerer) *Metrics {
	var all []prometheus.Collector
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: "freshet", Subsystem: "origin", Name: name, Help: help})
		all = append(all, c)
		return c
	}
	m := &Metrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "freshet", Subsystem: "origin", Name: "open_streams", Help: "Streams of feeds that are open."}),

		bytes:    counter("received_bytes_total", "Bytes of feeds received, inflated."),
		events:   counter("events_total", "Events of feeds that were committed."),
		repeats:  counter("repeats_total", "Events that an origin sent again after a reconnect."),
		replaced: counter("ids_replaced_total", "Events that got an id of the relay's: theirs was in the log already, or no header can carry it."),
		jumps:    counter("id_jumps_total", "Reconnects across which ids that count upwards by one jumped."),
		jumped:   counter("id_jumped_total", "Ids that were jumped over."),
	}
	all = append(all, m.open)
	m.attempts = labelled(&all, "attempts_total", "Attempts to open a feed's stream, by result.", "result",
		attemptOpened, attemptUnreachable, attemptIdle, attemptRefused, attemptFailed, attemptEnded, attemptOther)
	m.gaps = labelled(&all, "gaps_total", "Gaps that feeds made in their topics, by reason.", "reason",
		gapOrigin, gapNoID, gapRestart, gapLarge, gapRefused)
	m.dropped = labelled(&all, "dropped_events_total", "Events of feeds that were left out, by reason.", "reason",
		droppedReserved, droppedAddress, droppedLarge, droppedRefused, droppedEnded)
	m.unasked = labelled(&all, "unasked_total", "Topics of templates that the origin was not asked for, by reason.", "reason",
		unaskedMiss, unaskedBusy, unaskedRate)
	if r != nil {
		r.MustRegister(all...)
	}
	return m
}

// labelled makes one counter for each value of a label.
func labelled[T ~string](all *[]prometheus.Collector, name, help, label string, values ...T) map[T]prometheus.Counter {
	vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "freshet", Subsystem: "origin", Name: name, Help: help}, []string{label})
	*all = append(*all, vec)
	counters := make(map[T]prometheus.Counter)
	for _, v := range values {
		counters[v] = vec.WithLabelValues(string(v))
	}
	return counters
}

func (m *Metrics) attempt(err error) {
	result := attemptUnreachable
	var status *StatusError
	var other notStreamError
	switch {
	case err == nil:
		result = attemptOpened
	case errors.Is(err, errIdle), errors.Is(err, context.DeadlineExceeded):
		result = attemptIdle
	case errors.As(err, &status):
		switch {
		case status.Status == http.StatusNoContent:
			result = attemptEnded
		case status.Status >= 500:
			result = attemptFailed
		case status.Status >= 400:
			result = attemptRefused
		default:
			result = attemptOther
		}
	case errors.As(err, &other):
		result = attemptOther
	}
	m.attempts[result].Inc()
}
