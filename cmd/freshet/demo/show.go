package demo

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// The topics of the demo. Two, because a browser opens six connections to a
// host over HTTP/1.1, all tabs together, and people put two windows side by
// side. The odds share the topic of the scores, so that nobody can see a price
// that knows of a goal before the goal.
const (
	TopicScores = "demo/scores"
	TopicPrices = "demo/prices"
)

// Topics in the order in which the page lists them.
var Topics = [...]string{TopicScores, TopicPrices}

// Types are the event types of each topic; the page must listen for each. None
// is "open" or "error": an EventSource fires events of its own by these names.
var Types = map[string][]string{
	TopicScores: {
		"lineup", "kickoff", "clock", "goal", "card", "red-card", "shot", "corner", "sub", "added", "half-time", "full-time",
		"odds", "suspended",
	},
	TopicPrices: {"trade", "jump", "opening"},
}

// A Message is an event before the origin has stamped it.
type Message struct {
	Topic string
	Type  string
	Key   string // the match or the share
	Body  any    // Score, Odds or Trade
}

// A Show is everything that happens, in order of time. It does no I/O and
// reads no clock: the same seed gives the same show.
type Show struct {
	acts []*act
}

// An act is something that goes on by itself: a pitch, a book, a share.
type act struct {
	at   time.Duration
	step func(at time.Duration) ([]Message, time.Duration)
}

// overture is the part of the show that an origin plays at once, so that the
// first page has walks to draw. The matches join shortly before its end.
const (
	overture = 90 * time.Second
	joining  = overture - 15*time.Second
)

// pitches is how many matches run at once, and how far each of them is when
// the curtain rises, in minutes of play: a new page should see all of a match
// at a glance. A negative number is a match about to begin.
var pitches = [...]int{-1, 17, 36, 63}

// NewShow raises the curtain.
func NewShow(seed uint64) *Show {
	s := &Show{}
	l := newLeague(stream(seed, "league", 0))
	for i, minute := range pitches {
		p := &pitch{league: l, rng: stream(seed, "pitch", i), number: i, book: &book{rng: stream(seed, "book", i)}}
		p.begin()
		for minute >= 0 && p.match.played() < minute*60 {
			p.match.step()
		}
		s.acts = append(s.acts,
			&act{at: joining + time.Duration(i)*150*time.Millisecond, step: p.step},
			&act{at: joining + time.Duration(i)*150*time.Millisecond + 50*time.Millisecond, step: p.price})
	}
	for i, c := range companies {
		share := newShare(stream(seed, "share", i), c)
		s.acts = append(s.acts, &act{
			at: time.Duration(i) * 90 * time.Millisecond,
			step: func(at time.Duration) ([]Message, time.Duration) {
				m, wait := share.step(at)
				return []Message{m}, wait
			},
		})
	}
	return s
}

// Next returns what happens next and when, counted from the curtain. Times
// never go back; there may be nothing to say.
func (s *Show) Next() (time.Duration, []Message) {
	next := s.acts[0]
	for _, a := range s.acts[1:] {
		if a.at < next.at {
			next = a
		}
	}
	at := next.at
	messages, wait := next.step(at)
	next.at += wait
	return at, messages
}

// stream gives each act a random stream of its own, so that one act's draws
// never move another's.
func stream(seed uint64, name string, i int) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for _, c := range []byte(fmt.Sprintf("%s/%d", name, i)) {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return rand.New(rand.NewPCG(seed, h))
}

// A pitch plays one match after another.
type pitch struct {
	league     *league
	rng        *rand.Rand
	number     int
	round      int
	home, away int // in the league
	match      *match
	book       *book
	shown      bool // the page has been told of this match
}

func (p *pitch) begin() {
	p.round++
	p.home, p.away = p.league.draw()
	p.match = newMatch(p.rng, fmt.Sprintf("m%d-%d", p.number+1, p.round), p.number, &p.league.clubs[p.home], &p.league.clubs[p.away])
	p.shown = false
}

func (p *pitch) step(time.Duration) ([]Message, time.Duration) {
	if p.match.phase == phaseFullTime {
		p.league.release(p.home, p.away)
		p.begin()
	}
	if !p.shown {
		p.shown = true
		if p.match.phase != phaseSoon { // the curtain rose in the middle of it
			return []Message{p.match.event("clock", nil, "")}, p.match.pause()
		}
		return []Message{p.match.preview()}, beforeKick
	}
	m, ok, wait := p.match.step()
	if !ok {
		return nil, wait
	}
	out := []Message{m}
	if m.Type == "goal" || m.Type == "red-card" {
		if closed, ok := p.book.suspend(); ok {
			out = append(out, closed)
		}
	}
	return out, wait
}

func (p *pitch) price(time.Duration) ([]Message, time.Duration) {
	wait := p.book.pause()
	if m, ok := p.book.step(p.match); ok {
		return []Message{m}, wait
	}
	return nil, wait
}
