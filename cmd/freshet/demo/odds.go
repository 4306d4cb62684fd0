package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// Odds is the body of the odds among the events of TopicScores: decimal, on the result.
type Odds struct {
	Match     string     `json:"match"`
	Pitch     int        `json:"pitch"`
	Suspended bool       `json:"suspended"` // no bets: something just happened
	Home      float64    `json:"home"`
	Draw      float64    `json:"draw"`
	Away      float64    `json:"away"`
	Chance    [3]float64 `json:"chance"` // home, draw, away in percent, without the bookmaker's margin
}

const (
	margin   = 1.055 // the sum of the odds' inverses
	topOdds  = 501
	bookStep = 2200 * time.Millisecond
	maxGoals = 9 // by one side, still to come: beyond it the odds do not care
)

// A book prices one match. It looks at the match only when it steps, and
// reacts to a goal as bookmakers do: first it closes, then it opens anew.
type book struct {
	rng  *rand.Rand
	lean float64 // the market's mood towards the home side, reverting to 0
	last Odds
}

func (b *book) pause() time.Duration {
	return bookStep*6/10 + time.Duration(b.rng.Int64N(int64(bookStep*8/10)))
}

// suspend closes the book if it was open.
func (b *book) suspend() (Message, bool) {
	if b.last.Suspended || b.last.Match == "" {
		return Message{}, false
	}
	b.last.Suspended = true
	return b.event("suspended"), true
}

// step prices the match again; nothing is said when no price moved.
func (b *book) step(m *match) (Message, bool) {
	b.lean += -0.2*b.lean + 0.02*b.rng.NormFloat64()
	home, draw, away := m.chances()
	home *= math.Exp(b.lean)
	away *= math.Exp(-b.lean)
	sum := home + draw + away
	now := Odds{
		Match: m.id, Pitch: m.pitch,
		Home: price(home / sum), Draw: price(draw / sum), Away: price(away / sum),
		Chance: [3]float64{percent(home / sum), percent(draw / sum), percent(away / sum)},
	}
	if m.phase == phaseFullTime {
		now.Suspended = true
	}
	same := now.Match == b.last.Match && now.Suspended == b.last.Suspended &&
		now.Home == b.last.Home && now.Draw == b.last.Draw && now.Away == b.last.Away
	b.last = now
	return b.event("odds"), !same
}

func (b *book) event(kind string) Message {
	return Message{Topic: TopicScores, Type: kind, Key: b.last.Match, Body: b.last}
}

// chances takes the goals still to come as two independent Poisson counts.
func (m *match) chances() (home, draw, away float64) {
	left := float64(2*half-m.played()) / 60
	if m.phase == phaseSecond {
		left += float64(max(m.added, 2)) - math.Max(0, float64(m.second-half)/60)
	}
	left = math.Max(left, 0)
	if m.phase == phaseFullTime {
		left = 0
	}
	h, a := poisson(m.goalRate(&m.home)*left), poisson(m.goalRate(&m.away)*left)
	for i, p := range h {
		for j, q := range a {
			switch lead := m.home.Goals + i - m.away.Goals - j; {
			case lead > 0:
				home += p * q
			case lead < 0:
				away += p * q
			default:
				draw += p * q
			}
		}
	}
	return home, draw, away
}

func poisson(mean float64) (p [maxGoals + 1]float64) {
	p[0] = math.Exp(-mean)
	for i := 1; i < len(p); i++ {
		p[i] = p[i-1] * mean / float64(i)
	}
	return p
}

// price turns a chance into decimal odds with the margin, on the steps that
// bookmakers quote: fine near evens, coarse for long shots.
func price(chance float64) float64 {
	odds := topOdds + 0.0
	if chance > 0 {
		odds = math.Min(1/(chance*margin), topOdds)
	}
	odds = math.Max(odds, 1.01)
	for _, rung := range [...]struct{ below, step float64 }{
		{2, 0.01}, {3, 0.02}, {4, 0.05}, {6, 0.1}, {10, 0.2}, {20, 0.5}, {30, 1}, {50, 2}, {100, 5}, {math.Inf(1), 10},
	} {
		if odds < rung.below {
			return math.Round(math.Round(odds/rung.step)*rung.step*100) / 100
		}
	}
	return odds
}

func percent(chance float64) float64 { return math.Round(chance*1000) / 10 }
