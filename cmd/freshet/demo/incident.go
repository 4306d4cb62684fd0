package demo

import (
	"math"
	"strings"
)

// Rates are per team and minute of play. They give about 2.9 goals, 23 shots
// and 4 bookings a match, as in the leagues one watches.
const (
	rateGoal   = 0.0148
	rateShot   = 0.115
	rateCorner = 0.055
	rateYellow = 0.021
	rateRed    = 0.0005
	rateSub    = 0.085 // from the 55th minute on
	maxSubs    = 5
	homeFactor = 1.12
)

// incident draws at most one thing that happened in the last dt seconds.
func (m *match) incident(dt int) (Message, bool) {
	span := float64(dt) / 60
	first, second := &m.home, &m.away
	if m.rng.IntN(2) == 0 {
		first, second = second, first
	}
	for _, s := range []*side{first, second} {
		switch {
		case m.happens(m.goalRate(s) * m.urgency(s) * span):
			return m.goal(s), true
		case m.happens(rateRed * span):
			return m.sendOff(s, m.outfield(s), "a straight red"), true
		case m.happens(rateYellow * span):
			return m.book(s), true
		case m.happens(rateShot * m.pressure(s) * span):
			s.Shots++
			return m.event("shot", s, m.line(shotLines, s, m.attacker(s).name)), true
		case m.happens(rateCorner * m.pressure(s) * span):
			s.Corners++
			return m.event("corner", s, m.line(cornerLines, s, m.attacker(s).name)), true
		case m.minute() > 55 && s.subs < maxSubs && m.happens(rateSub*span):
			return m.substitute(s), true
		}
	}
	return Message{}, false
}

func (m *match) happens(p float64) bool { return m.rng.Float64() < p }

// goalRate is what the bookmaker knows too: strengths, home ground, the hour,
// and who is a man short. urgency is not: it is what makes a match surprise.
func (m *match) goalRate(s *side) float64 {
	rate := rateGoal * m.pressure(s) * (0.85 + 0.3*float64(m.played())/(2*half))
	if s == &m.home {
		rate *= homeFactor
	}
	return rate
}

// pressure is one side's share of the play.
func (m *match) pressure(s *side) float64 {
	o := m.other(s)
	return s.club.attack * o.club.defence * math.Pow(0.72, float64(s.Red)) * math.Pow(1.2, float64(o.Red))
}

func (m *match) urgency(s *side) float64 {
	lead := s.Goals - m.other(s).Goals
	switch {
	case lead >= 2:
		return 0.8
	case lead < 0 && m.phase == phaseSecond:
		return 1.25
	}
	return 1
}

func (m *match) other(s *side) *side {
	if s == &m.home {
		return &m.away
	}
	return &m.home
}

func (m *match) goal(s *side) Message {
	m.fuss++
	s.Goals++
	s.Shots++
	scorer, mark := m.attacker(s).name, ""
	lines := goalLines
	switch p := m.rng.Float64(); {
	case p < 0.09:
		mark, lines = " pen", penaltyLines
	case p < 0.12:
		scorer, mark, lines = m.outfield(m.other(s)).name, " og", ownGoalLines
	}
	s.Scorers = append(s.Scorers, scorer+" "+m.clock()+mark)
	return m.event("goal", s, m.line(lines, s, scorer))
}

func (m *match) book(s *side) Message {
	p := m.outfield(s)
	if s.booked[p.number] {
		return m.sendOff(s, p, "a second yellow")
	}
	m.fuss++
	s.booked[p.number] = true
	s.Yellow++
	return m.event("card", s, m.line(yellowLines, s, p.name))
}

func (m *match) sendOff(s *side, p player, why string) Message {
	m.fuss += 2
	s.Red++
	s.pitch = without(s.pitch, p)
	return m.event("red-card", s, p.name+" is sent off: "+why)
}

func (m *match) substitute(s *side) Message {
	m.fuss++
	s.subs++
	off := m.outfield(s)
	// Nobody takes the goalkeeper off for the show's sake, so none comes on.
	at := 0
	for s.bench[at].role == keeper || (s.bench[at].role != off.role && at < len(s.bench)-1) {
		at++
	}
	on := s.bench[at]
	s.bench = without(s.bench, on)
	s.pitch = append(without(s.pitch, off), on)
	return m.event("sub", s, on.name+" comes on for "+off.name)
}

// attacker picks who has the ball near the other goal.
func (m *match) attacker(s *side) player {
	return m.pick(s, func(p player) float64 {
		return [...]float64{keeper: 0, defender: 1, midfielder: 3, forward: 6}[p.role]
	})
}

func (m *match) outfield(s *side) player {
	return m.pick(s, func(p player) float64 {
		return [...]float64{keeper: 0, defender: 4, midfielder: 3, forward: 2}[p.role]
	})
}

func (m *match) pick(s *side, weight func(player) float64) player {
	total := 0.0
	for _, p := range s.pitch {
		total += weight(p)
	}
	at := m.rng.Float64() * total
	for _, p := range s.pitch {
		if at -= weight(p); at < 0 {
			return p
		}
	}
	return s.pitch[len(s.pitch)-1]
}

func without(players []player, p player) []player {
	kept := make([]player, 0, len(players))
	for _, q := range players {
		if q.number != p.number {
			kept = append(kept, q)
		}
	}
	return kept
}

// line fills one of the templates: {player}, {team} and {other}.
func (m *match) line(lines []string, s *side, player string) string {
	return strings.NewReplacer("{player}", player, "{team}", s.Name, "{other}", m.other(s).Name).
		Replace(lines[m.rng.IntN(len(lines))])
}

var (
	goalLines = []string{
		"{player} finds the far corner",
		"{player} heads it in at the near post",
		"{player} from twenty-five metres!",
		"{player} taps in the rebound",
		"{player} goes round the keeper",
		"{player} lifts it over the keeper",
		"{player} curls in the free kick",
		"{player} finishes a quick counter",
	}
	penaltyLines = []string{
		"{player} sends the keeper the wrong way from the spot",
		"{player} puts the penalty into the roof of the net",
	}
	ownGoalLines = []string{"{player} turns it into his own net"}
	shotLines    = []string{
		"{player} shoots just wide",
		"{player} hits the post",
		"{player} forces a fine save",
		"{player} is blocked at the last moment",
		"{player} heads over the bar",
		"{player} tries from distance, saved",
	}
	cornerLines = []string{
		"Corner for {team}",
		"{player} wins a corner",
	}
	yellowLines = []string{
		"{player} is booked for a late tackle",
		"{player} is booked for arguing",
		"{player} pulls a shirt and is booked",
	}
)
