package demo

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// phase is where a match stands; its text is what the page reads.
type phase string

const (
	phaseSoon     phase = "soon"
	phaseFirst    phase = "first"
	phaseHalfTime phase = "half-time"
	phaseSecond   phase = "second"
	phaseFullTime phase = "full-time"
)

// Time is compressed: a step is some twenty seconds of play and takes about
// one second of the show, so a match lasts five minutes with its half-time.
const (
	stepPlay   = 20 // seconds of play, the mean
	stepShow   = time.Second
	beforeKick = 6 * time.Second
	halfTime   = 12 * time.Second
	afterMatch = 12 * time.Second

	half = 45 * 60 // seconds of play
)

// A side is one team on the day.
type side struct {
	Name    string   `json:"name"`
	Code    string   `json:"code"`
	Shirt   string   `json:"shirt"`
	Trim    string   `json:"trim"`
	Goals   int      `json:"goals"`
	Shots   int      `json:"shots"`
	Corners int      `json:"corners"`
	Yellow  int      `json:"yellow"`
	Red     int      `json:"red"`
	Scorers []string `json:"scorers"`

	club   *club
	pitch  []player     // on the field
	bench  []player     // not used yet
	booked map[int]bool // shirt numbers with a yellow card
	subs   int
}

// Score is the body of the match events of TopicScores: the whole match, and
// what just happened in it.
type Score struct {
	Match  string `json:"match"`
	Pitch  int    `json:"pitch"` // the page shows one card per pitch
	Phase  phase  `json:"phase"`
	Clock  string `json:"clock"`  // 45+2'
	Played int    `json:"played"` // seconds of play, without the half-time
	Home   side   `json:"home"`
	Away   side   `json:"away"`
	Team   string `json:"team,omitempty"` // "home" or "away": whose incident it is
	Text   string `json:"text,omitempty"`
}

// A match is a state machine: step moves it on and says what to publish.
type match struct {
	rng    *rand.Rand
	id     string
	pitch  int
	phase  phase
	second int // seconds of play in this half
	added  int // minutes added to this half, known once announced
	told   int // the last minute that an event showed
	fuss   int // goals, cards and substitutions in this half: they make added time
	home   side
	away   side
}

func newMatch(rng *rand.Rand, id string, pitch int, home, away *club) *match {
	return &match{rng: rng, id: id, pitch: pitch, phase: phaseSoon, home: newSide(home), away: newSide(away)}
}

func newSide(c *club) side {
	return side{
		Name: c.Name, Code: c.Code, Shirt: c.Shirt, Trim: c.Trim, Scorers: []string{},
		club: c, pitch: slices.Clone(c.squad[:11]), bench: slices.Clone(c.squad[11:]), booked: map[int]bool{},
	}
}

// step returns what happened, if anything is worth an event, and how long the
// show waits before the next step. The match is over when it says full time.
func (m *match) step() (Message, bool, time.Duration) {
	switch m.phase {
	case phaseSoon:
		m.phase, m.told = phaseFirst, 1
		return m.event("kickoff", nil, "We are under way"), true, m.pause()
	case phaseHalfTime:
		m.phase, m.second, m.added, m.fuss = phaseSecond, 0, 0, 0
		m.told = m.minute()
		return m.event("kickoff", nil, "The second half begins"), true, m.pause()
	case phaseFirst, phaseSecond:
		return m.play()
	}
	return Message{}, false, afterMatch
}

// play is one step of a half.
func (m *match) play() (Message, bool, time.Duration) {
	dt := stepPlay - 6 + m.rng.IntN(13)
	m.second += dt
	switch {
	case m.added == 0 && m.second >= half-30:
		m.second = max(m.second, half)
		m.added = min(1+m.rng.IntN(2)+m.fuss/3, 8)
		m.told = m.minute()
		return m.event("added", nil, fmt.Sprintf("%s of added time", minutes(m.added))), true, m.pause()
	case m.added > 0 && m.second >= half+60*m.added:
		m.second = half + 60*m.added
		return m.whistle()
	}
	if msg, ok := m.incident(dt); ok {
		m.told = m.minute()
		return msg, true, m.pause()
	}
	if now := m.minute(); now != m.told {
		m.told = now
		return m.event("clock", nil, ""), true, m.pause()
	}
	return Message{}, false, m.pause()
}

func (m *match) whistle() (Message, bool, time.Duration) {
	if m.phase == phaseFirst {
		m.phase = phaseHalfTime
		return m.event("half-time", nil, "Half-time"), true, halfTime
	}
	m.phase = phaseFullTime
	text := "Full time. The points are shared"
	if m.home.Goals > m.away.Goals {
		text = "Full time. " + m.home.Name + " win"
	} else if m.home.Goals < m.away.Goals {
		text = "Full time. " + m.away.Name + " win"
	}
	return m.event("full-time", nil, text), true, afterMatch
}

// preview is the event that puts a match on the page before it begins.
func (m *match) preview() Message {
	return m.event("lineup", nil, "The teams are out")
}

// pause keeps the pitches from ticking in step.
func (m *match) pause() time.Duration {
	return stepShow*7/10 + time.Duration(m.rng.Int64N(int64(stepShow*6/10)))
}

// played is the seconds of play that the odds reckon with, at most ninety minutes.
func (m *match) played() int {
	switch m.phase {
	case phaseSoon:
		return 0
	case phaseFirst:
		return min(m.second, half)
	case phaseHalfTime:
		return half
	case phaseSecond:
		return half + min(m.second, half)
	}
	return 2 * half
}

// minute is the running minute of the match, as football counts: the first
// minute is 1, and added time goes on counting past 45.
func (m *match) minute() int {
	start := 0
	if m.phase == phaseSecond || m.phase == phaseFullTime {
		start = 45
	}
	return start + m.second/60 + 1
}

// clock writes the minute as a scoreboard does.
func (m *match) clock() string {
	switch m.phase {
	case phaseSoon:
		return "soon"
	case phaseHalfTime:
		return "HT"
	case phaseFullTime:
		return "FT"
	}
	end := 45
	if m.phase == phaseSecond {
		end = 90
	}
	if now := m.minute(); now > end {
		return fmt.Sprintf("%d+%d'", end, now-end)
	} else {
		return fmt.Sprintf("%d'", now)
	}
}

// event copies the state, for the match goes on and the message does not.
func (m *match) event(kind string, of *side, text string) Message {
	s := Score{
		Match: m.id, Pitch: m.pitch, Phase: m.phase, Clock: m.clock(), Played: m.played(),
		Home: m.home, Away: m.away, Text: text,
	}
	s.Home.Scorers, s.Away.Scorers = slices.Clone(m.home.Scorers), slices.Clone(m.away.Scorers)
	switch of {
	case &m.home:
		s.Team = "home"
	case &m.away:
		s.Team = "away"
	}
	return Message{Topic: TopicScores, Type: kind, Key: m.id, Body: s}
}

func minutes(n int) string {
	if n == 1 {
		return "One minute"
	}
	return fmt.Sprintf("%d minutes", n)
}
