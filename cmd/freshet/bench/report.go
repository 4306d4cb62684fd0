//go:build linux

package bench

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// A Result is what one run found. Durations are in microseconds, memory in bytes, so that its JSON reads by itself.
type Result struct {
	Protocol    string `json:"protocol"`
	TLS         bool   `json:"tls"`
	Connections int    `json:"connections"`
	Streams     int    `json:"streams_per_connection"`
	Subscribers int    `json:"subscribers"`
	Topics      int    `json:"topics"`
	Published   uint64 `json:"published"`
	EventSize   int    `json:"event_bytes"`

	Delivered     uint64  `json:"delivered"`
	Expected      uint64  `json:"expected"`
	Lost          uint64  `json:"lost"`
	Doubled       uint64  `json:"doubled"`
	Gaps          uint64  `json:"gaps"`
	Foreign       uint64  `json:"foreign"`
	Decoded       int     `json:"decoded_streams,omitempty"` // compressed streams that were decoded and checked
	Broken        int64   `json:"broken_connections"`
	DeliveryRate  float64 `json:"deliveries_per_second"`
	BytesReceived uint64  `json:"bytes_received"`

	LatencyP50 float64 `json:"latency_p50_us"`
	LatencyP90 float64 `json:"latency_p90_us"`
	LatencyP99 float64 `json:"latency_p99_us"`
	LatencyMax float64 `json:"latency_max_us"`

	ServerCPU           float64 `json:"server_cpu_us_per_delivery,omitempty"`
	ClientCPU           float64 `json:"client_cpu_us_per_delivery"`
	ServerMemory        int64   `json:"server_memory_bytes,omitempty"`
	MemoryPerSubscriber float64 `json:"server_memory_per_subscriber_bytes,omitempty"`
	MemoryPerConnection float64 `json:"server_memory_per_connection_bytes,omitempty"`

	HeapPerSubscriber float64 `json:"server_heap_per_subscriber_bytes,omitempty"` // after a garbage collection, at rest
	HeapOfEvents      int64   `json:"server_heap_of_events_bytes,omitempty"`      // after another at the end: what the events left
	GzipMemory        int64   `json:"server_gzip_memory_bytes,omitempty"`         // the relay's gauge of what compress.memory bounds
	GzipRefused       uint64  `json:"server_gzip_refused,omitempty"`              // events not compressed for want of it

	Identity *Form `json:"identity,omitempty"` // of a pair
	Gzip     *Form `json:"gzip,omitempty"`

	Beside *Result `json:"beside,omitempty"` // of a small load on another topic meanwhile

	measured uint64 // deliveries between the two snapshots
}

// result takes loss, doubling and the totals from the whole run, the rates from the measured part. The latency is
// the whole run's too: a histogram's maximum cannot be taken back.
func (r *run) result(p *publisher, before, after tally, elapsed time.Duration) *Result {
	result := &Result{
		Protocol: r.Protocol, TLS: r.secure != nil, Connections: r.Connections, Streams: r.Streams,
		Subscribers: r.Connections * r.Streams, Topics: r.Topics, Published: p.sum(), EventSize: r.Size,
		Delivered: after.delivered, Expected: r.expected(p), Lost: after.lost, Doubled: after.doubled, Gaps: after.gaps,
		Foreign: after.foreign, Broken: r.broken.Load(), BytesReceived: after.bytes,
		measured: after.delivered - before.delivered,
	}
	result.Decoded = len(r.kept)
	result.DeliveryRate = float64(result.measured) / elapsed.Seconds()
	result.LatencyP50 = microseconds(after.latency.quantile(0.50))
	result.LatencyP90 = microseconds(after.latency.quantile(0.90))
	result.LatencyP99 = microseconds(after.latency.quantile(0.99))
	result.LatencyMax = microseconds(after.latency.max)
	return result
}

// charge divides the CPU of both sides by the deliveries of the measured part.
func (r *Result) charge(server, client usage) {
	if r.measured == 0 {
		return
	}
	r.ServerCPU = microseconds(server.cpu) / float64(r.measured)
	r.ClientCPU = microseconds(client.cpu) / float64(r.measured)
}

func (r *Result) verdict() error {
	if r.Delivered == r.Expected && r.Lost+r.Doubled+r.Foreign == 0 && r.Broken == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d of %d delivered, %d lost, %d doubled, %d foreign, %d broken connections", ErrIncomplete,
		r.Delivered, r.Expected, r.Lost, r.Doubled, r.Foreign, r.Broken)
}

// Print writes the result as a table for people.
func (r *Result) Print(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(table, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	secure := "plain"
	if r.TLS {
		secure = "TLS"
	}
	row("subscribers", "%d = %d connections x %d streams, %s, %s", r.Subscribers, r.Connections, r.Streams, r.Protocol, secure)
	row("published", "%d events of %d bytes", r.Published, r.EventSize)
	row("delivered", "%d of %d: %d lost, %d doubled, %d gaps, %d broken connections", r.Delivered, r.Expected, r.Lost, r.Doubled, r.Gaps, r.Broken)
	row("rate", "%.0f deliveries/s", r.DeliveryRate)
	if r.Delivered > 0 {
		row("received", "%.0f bytes for an event, %d compressed streams decoded", float64(r.BytesReceived)/float64(r.Delivered), r.Decoded)
	}
	for _, f := range []*Form{r.Identity, r.Gzip} {
		if f != nil {
			row(f.Name, "%.3f us of server CPU a delivery, %.0f bytes, p50 %s  p99 %s", f.ServerCPU, f.Bytes, human(f.LatencyP50), human(f.LatencyP99))
		}
	}
	row("latency", "p50 %s  p90 %s  p99 %s  max %s", human(r.LatencyP50), human(r.LatencyP90), human(r.LatencyP99), human(r.LatencyMax))
	if r.ServerCPU > 0 {
		row("server CPU", "%.3f us a delivery", r.ServerCPU)
	}
	row("generator CPU", "%.3f us a delivery", r.ClientCPU)
	if r.ServerMemory != 0 {
		row("server memory", "%.2f KiB a subscriber, %.2f KiB a connection", r.MemoryPerSubscriber/1024, r.MemoryPerConnection/1024)
	}
	if r.HeapPerSubscriber != 0 {
		row("server heap", "%.0f bytes a subscriber, %d bytes of events", r.HeapPerSubscriber, r.HeapOfEvents)
	}
	table.Flush()
}

func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func human(us float64) string {
	return time.Duration(us * float64(time.Microsecond)).Round(10 * time.Microsecond).String()
}
