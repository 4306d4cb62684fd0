package cluster

import (
	"slices"
	"strings"
	"time"
)

// solitude tells an operator of a relay that was to join others, and did not: it works, as a cluster of one, and nothing else
// would say that its key, its label or its addresses are wrong. It is owned by join.
type solitude struct {
	since time.Time // alone since then
	told  seldom
}

const (
	joinPatience  = 3 * time.Second // others may have been started a moment later
	mostAddresses = 8               // are told of
)

// see is told of the addresses of Join at which an attempt has failed.
func (s *solitude) see(m *Members, now time.Time, failed map[string]error) {
	if m.unjoined != nil {
		m.unjoined(len(failed))
	}
	if len(m.Alive()) > 1 {
		s.since = time.Time{}
		return
	}
	if s.since.IsZero() {
		s.since = now
	}
	if len(failed) == 0 || now.Sub(s.since) < joinPatience || !s.told.may(now, "") {
		return
	}
	tried := make([]string, 0, len(failed))
	for address, err := range failed {
		tried = append(tried, address+" "+why(err))
	}
	slices.Sort(tried)
	m.Log.Warn("no relay of cluster.join answers", "addresses", len(tried), "tried", strings.Join(tried[:min(len(tried), mostAddresses)], "; "))
}

// why an attempt to join failed, in words for who has configured it. memberlist hands errors on as text.
func why(err error) string {
	text := err.Error()
	for _, w := range [...]struct{ says, because string }{
		{"connection refused", "refused"},
		{"timeout", "timeout"},
		{"deadline exceeded", "timeout"},
		{"no installed keys", "has another cluster.key"},
		{"encryption is not configured", "has a cluster.key, this relay has none"},
		{"remote state is not encrypted", "has no cluster.key"},
		{"EOF", "hangs up: another cluster.key or cluster.label?"},
		{"broken pipe", "hangs up: another cluster.key or cluster.label?"},
		{"connection reset", "hangs up: another cluster.key or cluster.label?"},
		{"unreachable", "unreachable"},
		{"no route to host", "unreachable"},
	} {
		if strings.Contains(text, w.says) {
			return w.because
		}
	}
	return strings.Join(strings.Fields(text), " ") // it has several lines
}
