package relay

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"freshet/ringbuf"
)

// gzipMetrics is what is counted of compression.
type gzipMetrics struct {
	streams atomic.Int64
}

// register adds the series to reg.
func (m *gzipMetrics) register(r *Relay, reg prometheus.Registerer, loops *[loopCounters]delivered) {
	stats := func() ringbuf.DeflaterStats {
		if r.deflater == nil {
			return ringbuf.DeflaterStats{}
		}
		return r.deflater.Stats()
	}
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	counter := func(name, help string, labels prometheus.Labels, f func() float64) {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels}, f))
	}
	gauge("freshet_relay_gzip_subscribers", "Streams open now that are compressed.", func() float64 { return float64(m.streams.Load()) })
	gauge("freshet_relay_gzip_memory_bytes", "Memory of events in compressed form, bounded by compress.memory.", func() float64 { return float64(stats().Held) })
	counter("freshet_relay_gzip_events_total", "Events compressed, each once for all.", nil, func() float64 { return float64(stats().Events) })
	counter("freshet_relay_gzip_text_bytes_total", "Bytes of the events compressed, before.", nil, func() float64 { return float64(stats().Text) })
	counter("freshet_relay_gzip_bytes_total", "Bytes of the events compressed, after.", nil, func() float64 { return float64(stats().Bytes) })
	counter("freshet_relay_gzip_refused_total", "Events not compressed because compress.memory was reached.", nil, func() float64 { return float64(stats().Refused) })
	counter("freshet_relay_gzip_hurried_total", "Events of the past not compressed because who joined there would have had to wait.", nil, func() float64 { return float64(stats().Hurried) })

	const deliveries, help = "freshet_relay_gzip_deliveries_total", "Events handed to compressed streams: in the form shared by all, or stored as they are."
	for form, f := range map[string]func(*delivered) uint64{
		"shared": func(d *delivered) uint64 { return d.shared.Load() },
		"stored": func(d *delivered) uint64 { return d.stored.Load() },
	} {
		counter(deliveries, help, prometheus.Labels{"form": form}, func() float64 {
			var n uint64
			for i := range loops {
				n += f(&loops[i])
			}
			return float64(n)
		})
	}
}
