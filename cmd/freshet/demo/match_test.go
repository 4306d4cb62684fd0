package demo

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// kickOff gives a match between two clubs of equal strength, unless told otherwise.
func kickOff(seed uint64, attack float64) *match {
	rng := rand.New(rand.NewPCG(seed, 1))
	home := &club{Name: "Home", Code: "HOM", attack: attack, defence: 1, squad: newSquad(rng)}
	away := &club{Name: "Away", Code: "AWA", attack: 1, defence: 1, squad: newSquad(rng)}
	return newMatch(rng, "m", 0, home, away)
}

func TestMatchIsFootball(t *testing.T) {
	goals, cards := 0, 0
	const matches = 300
	for seed := range uint64(matches) {
		m := kickOff(seed, 1)
		var seen []phase
		before := Score{}
		for steps := 0; m.phase != phaseFullTime; steps++ {
			if steps > 2000 {
				t.Fatalf("seed %d: no end", seed)
			}
			msg, ok, wait := m.step()
			if wait <= 0 {
				t.Fatalf("seed %d: the next step follows after %v", seed, wait)
			}
			if !ok {
				continue
			}
			now := msg.Body.(Score)
			if len(seen) == 0 || seen[len(seen)-1] != now.Phase {
				seen = append(seen, now.Phase)
			}
			scored := now.Home.Goals + now.Away.Goals - before.Home.Goals - before.Away.Goals
			if (msg.Type == "goal") != (scored == 1) || scored > 1 {
				t.Fatalf("seed %d: a %s changes the score by %d", seed, msg.Type, scored)
			}
			if now.Played < before.Played {
				t.Fatalf("seed %d: time goes back from %d s to %d s", seed, before.Played, now.Played)
			}
			if len(now.Home.Scorers) != now.Home.Goals || len(now.Away.Scorers) != now.Away.Goals {
				t.Fatalf("seed %d: the scorers %q %q of %d:%d", seed, now.Home.Scorers, now.Away.Scorers, now.Home.Goals, now.Away.Goals)
			}
			if msg.Type == "goal" && now.Text == "" {
				t.Fatalf("seed %d: a goal without a word", seed)
			}
			before = now
		}
		if want := []phase{phaseFirst, phaseHalfTime, phaseSecond, phaseFullTime}; !slices.Equal(seen, want) {
			t.Fatalf("seed %d: phases %q, want %q", seed, seen, want)
		}
		if len(m.home.pitch) != 11-m.home.Red || len(m.away.pitch) != 11-m.away.Red {
			t.Fatalf("seed %d: %d and %d on the pitch with %d and %d sent off", seed, len(m.home.pitch), len(m.away.pitch), m.home.Red, m.away.Red)
		}
		goals += m.home.Goals + m.away.Goals
		cards += m.home.Yellow + m.away.Yellow
	}
	if mean := float64(goals) / matches; mean < 2 || mean > 4 {
		t.Errorf("%.2f goals a match", mean)
	}
	if mean := float64(cards) / matches; mean < 2 || mean > 6 {
		t.Errorf("%.2f yellow cards a match", mean)
	}
}

func TestStrengthWins(t *testing.T) {
	wins, losses := 0, 0
	for seed := range uint64(200) {
		m := kickOff(seed, 1.8)
		for m.phase != phaseFullTime {
			m.step()
		}
		if m.home.Goals > m.away.Goals {
			wins++
		} else if m.home.Goals < m.away.Goals {
			losses++
		}
	}
	if wins < 2*losses {
		t.Errorf("the stronger side won %d and lost %d", wins, losses)
	}
}

func TestClock(t *testing.T) {
	m := kickOff(1, 1)
	for _, c := range []struct {
		phase  phase
		second int
		want   string
	}{
		{phaseSoon, 0, "soon"},
		{phaseFirst, 0, "1'"},
		{phaseFirst, 59, "1'"},
		{phaseFirst, 44 * 60, "45'"},
		{phaseFirst, 45*60 + 61, "45+2'"},
		{phaseHalfTime, 47 * 60, "HT"},
		{phaseSecond, 0, "46'"},
		{phaseSecond, 44*60 + 59, "90'"},
		{phaseSecond, 45 * 60, "90+1'"},
		{phaseFullTime, 48 * 60, "FT"},
	} {
		m.phase, m.second = c.phase, c.second
		if got := m.clock(); got != c.want {
			t.Errorf("%s after %d s reads %q, want %q", c.phase, c.second, got, c.want)
		}
	}
}
