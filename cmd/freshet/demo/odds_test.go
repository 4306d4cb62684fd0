package demo

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestOddsFollowScoreAndClock(t *testing.T) {
	at := func(minute, home, away int) (h, d, a float64) {
		m := kickOff(1, 1)
		m.phase, m.second = phaseFirst, minute*60
		if minute >= 45 {
			m.phase, m.second, m.added = phaseSecond, (minute-45)*60, 2
		}
		m.home.Goals, m.away.Goals = home, away
		h, d, a = m.chances()
		if sum := h + d + a; math.Abs(sum-1) > 1e-4 {
			t.Errorf("the chances at %d' %d:%d sum to %v", minute, home, away, sum)
		}
		return h, d, a
	}
	h, d, a := at(1, 0, 0)
	if !(h > a && a > d*0.8 && h < 0.6) {
		t.Errorf("at the start: %.2f %.2f %.2f; the home side should be a slight favourite", h, d, a)
	}
	ahead, _, _ := at(30, 1, 0)
	level, _, _ := at(30, 0, 0)
	late, _, _ := at(80, 1, 0)
	if !(level < ahead && ahead < late) {
		t.Errorf("home wins with %.2f when level, %.2f when ahead, %.2f when ahead late", level, ahead, late)
	}
	_, early, _ := at(10, 0, 0)
	if _, drawn, _ := at(85, 0, 0); drawn < early {
		t.Errorf("a draw has %.2f late and %.2f early", drawn, early)
	}
}

func TestBookClosesAtAGoal(t *testing.T) {
	m := kickOff(1, 1)
	b := &book{rng: rand.New(rand.NewPCG(1, 1))}
	if _, ok := b.suspend(); ok {
		t.Error("a book that never opened closes")
	}
	if msg, ok := b.step(m); !ok || msg.Type != "odds" {
		t.Fatalf("the first prices: %v %v", msg, ok)
	}
	msg, ok := b.suspend()
	if !ok || !msg.Body.(Odds).Suspended {
		t.Fatalf("after a goal: %v %v", msg, ok)
	}
	if _, again := b.suspend(); again {
		t.Error("a closed book closes again")
	}
	if msg, ok := b.step(m); !ok || msg.Body.(Odds).Suspended {
		t.Errorf("the book does not open again: %v %v", msg, ok)
	}
	m.phase = phaseFullTime
	if msg, ok := b.step(m); !ok || !msg.Body.(Odds).Suspended {
		t.Errorf("after the match: %v %v", msg, ok)
	}
	if _, ok := b.step(m); ok {
		t.Error("the book goes on after the match")
	}
}

func TestPriceLadder(t *testing.T) {
	for _, c := range []struct{ chance, want float64 }{
		{1, 1.01}, {0.9, 1.05}, {0.5, 1.9}, {0.4, 2.36}, {0.3, 3.15}, {0.2, 4.7}, {0.1, 9.4}, {0.05, 19}, {0.01, 95}, {0, 500},
	} {
		if got := price(c.chance); got != c.want {
			t.Errorf("price(%v) = %v, want %v", c.chance, got, c.want)
		}
	}
}
