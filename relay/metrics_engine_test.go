package relay

import (
	"net"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// What the engine refuses is counted under the limit's name, beside what the
// relay refuses.
func TestMetricsOfTheEngine(t *testing.T) {
	r := serveRelay(t, Config{Limits: Limits{Connections: 4, AddressShare: 0.5}})
	for range 2 {
		p := r.protocols(t)[0]
		p.subscribe(t, "/events/t")
	}
	conn, err := net.Dial("tcp", r.plain)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "a third is refused", func() bool { return r.metrics.hits.counts()[limitAddressShare] == 1 })
	if w := ask(r.Relay, "POST", "/events/t", strings.Repeat("x", 300<<10)); w.Code != 413 {
		t.Error(w.Code)
	}
	const want = `
# HELP freshet_relay_connections Connections open now, but for those of HTTP/3.
# TYPE freshet_relay_connections gauge
freshet_relay_connections 2
# HELP freshet_relay_limit_hits_total Times a limit was met.
# TYPE freshet_relay_limit_hits_total counter
freshet_relay_limit_hits_total{limit="address_share"} 1
freshet_relay_limit_hits_total{limit="connections"} 0
freshet_relay_limit_hits_total{limit="event_bytes"} 1
freshet_relay_limit_hits_total{limit="handshakes"} 0
freshet_relay_limit_hits_total{limit="memory"} 0
freshet_relay_limit_hits_total{limit="publish_keys"} 0
freshet_relay_limit_hits_total{limit="publishes"} 0
freshet_relay_limit_hits_total{limit="subscribers"} 0
freshet_relay_limit_hits_total{limit="topics"} 0
`
	if err := testutil.GatherAndCompare(r.config.Metrics, strings.NewReader(want), "freshet_relay_connections", "freshet_relay_limit_hits_total"); err != nil {
		t.Error(err)
	}
}
