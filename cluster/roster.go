package cluster

import (
	"log/slog"
	"slices"
	"strings"
	"time"

	"freshet/cluster/agree"
)

// roster tells an operator who comes and goes, a line for each event, from what gossip and links say. It does no I/O but to
// log, and is owned by the node's loop.
//
//	           in view                says that it leaves          out of view
//	nobody ──────────────► here ──────────────────────► draining ───────────► nobody (left)
//	                       ▲  │ out of view, or its link is silent
//	      in view and linked  ▼
//	                       lost ──────────────────────► nobody, after an hour
type roster struct {
	self   string
	log    *slog.Logger
	quiet  func(name string, now time.Time) time.Duration // since a relay was heard on a link
	known  map[string]*sighting
	linked map[string]bool
}

// sighting is a relay that was in view within the last hour.
type sighting struct {
	Member           // as gossip last said
	here   bool      // in view
	lost   time.Time // since then; zero: it is not
}

const rememberLost = time.Hour

func newRoster(self string, log *slog.Logger, quiet func(string, time.Time) time.Duration) *roster {
	return &roster{self: self, log: log, quiet: quiet, known: map[string]*sighting{}, linked: map[string]bool{}}
}

// see takes a view: all that gossip knows.
func (r *roster) see(now time.Time, view []Member) {
	here := map[string]bool{}
	for _, m := range view {
		if m.Name != r.self {
			here[m.Name] = true
			r.meet(m)
		}
	}
	for _, name := range r.names() {
		s := r.known[name]
		switch {
		case here[name]:
		case s.here && s.State == agree.Draining:
			r.log.Info("relay left", "name", name)
			delete(r.known, name)
		case s.here:
			s.here = false
			r.lose(now, s)
		case now.Sub(s.lost) >= rememberLost:
			delete(r.known, name)
		}
	}
}

// names are those known, in order, so that logs are alike.
func (r *roster) names() []string {
	list := make([]string, 0, len(r.known))
	for name := range r.known {
		list = append(list, name)
	}
	slices.Sort(list)
	return list
}

func (r *roster) meet(m Member) {
	s := r.known[m.Name]
	if s == nil {
		r.known[m.Name] = &sighting{Member: m, here: true}
		r.log.Info("relay joined", "name", m.Name, "region", m.Region, "link", m.Link)
		if m.State == agree.Draining {
			r.log.Info("relay draining", "name", m.Name)
		}
		return
	}
	before := s.Member
	s.Member, s.here = m, true
	switch {
	case before.Gossip != m.Gossip:
		r.log.Info("relay moved", "name", m.Name, "from", before.Gossip, "to", m.Gossip)
	case before.State > m.State && s.lost.IsZero(): // another process, before anybody missed the one before
		r.log.Info("relay restarted", "name", m.Name)
	}
	if m.State == agree.Draining && before.State != m.State {
		r.log.Info("relay draining", "name", m.Name)
	}
	r.find(s)
}

// up says that there is a link to a relay.
func (r *roster) up(name string) {
	r.linked[name] = true
	if s := r.known[name]; s != nil {
		r.find(s)
	}
}

// down says that there is none, and has not been for a moment.
func (r *roster) down(now time.Time, name string) {
	delete(r.linked, name)
	if s := r.known[name]; s != nil && s.here && s.State != agree.Draining {
		r.lose(now, s)
	}
}

func (r *roster) lose(now time.Time, s *sighting) {
	if s.lost.IsZero() {
		s.lost = now
		r.log.Info("relay lost", "name", s.Name, "silent", r.quiet(s.Name, now).Round(time.Millisecond))
	}
}

func (r *roster) find(s *sighting) {
	if !s.lost.IsZero() && s.here && r.linked[s.Name] {
		s.lost = time.Time{}
		r.log.Info("relay back", "name", s.Name)
	}
}

// missing lists the relays that went out of view within the last hour without saying so, by name.
func (r *roster) missing(now time.Time) []sighting {
	var list []sighting
	for _, s := range r.known {
		if !s.here && now.Sub(s.lost) < rememberLost {
			list = append(list, *s)
		}
	}
	slices.SortFunc(list, func(a, b sighting) int { return strings.Compare(a.Name, b.Name) })
	return list
}
