package demo

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// play returns the show's first stretch, one line per event.
func play(seed uint64, stretch time.Duration) []string {
	var lines []string
	for s := NewShow(seed); ; {
		at, messages := s.Next()
		if at > stretch {
			return lines
		}
		for _, m := range messages {
			body, err := json.Marshal(m.Body)
			if err != nil {
				panic(err)
			}
			lines = append(lines, fmt.Sprint(at, " ", m.Topic, " ", m.Type, " ", m.Key, " ", string(body)))
		}
	}
}

func TestSameSeedSameShow(t *testing.T) {
	first := play(7, 3*time.Minute)
	if diff := cmp.Diff(first, play(7, 3*time.Minute)); diff != "" {
		t.Errorf("seed 7 twice (-first +second):\n%s", diff)
	}
	if slices.Equal(first, play(8, 3*time.Minute)) {
		t.Error("seed 8 gives the show of seed 7")
	}
}

func TestSomethingHappensEverySecondOrSo(t *testing.T) {
	last := map[string]time.Duration{TopicScores: joining}
	var before time.Duration
	events := 0
	const stretch = 20 * time.Minute
	for s := NewShow(3); ; {
		at, messages := s.Next()
		if at < before {
			t.Fatalf("time goes back from %v to %v", before, at)
		}
		before = at
		if at > stretch {
			break
		}
		for _, m := range messages {
			if quiet := at - last[m.Topic]; quiet > 5*time.Second {
				t.Errorf("%s is quiet for %v until %v", m.Topic, quiet, at)
			}
			last[m.Topic] = at
			events++
			if !slices.Contains(Types[m.Topic], m.Type) {
				t.Errorf("%s has an event of type %s, which the page does not listen for", m.Topic, m.Type)
			}
		}
	}
	if rate := float64(events) / stretch.Seconds(); rate < 3 || rate > 15 {
		t.Errorf("%.1f events a second; 3 to 15 are good to look at", rate)
	}
}

// A page that opens at any moment finds every match and every share in the
// backlog it asks for.
func TestBacklogShowsEverything(t *testing.T) {
	backlog := map[string]int{TopicScores: 140, TopicPrices: 420} // as in page.js
	got := map[string][]string{}
	next := overture
	for s := NewShow(5); next < 20*time.Minute; {
		at, messages := s.Next()
		for _, m := range messages {
			key := m.Key
			if score, ok := m.Body.(Score); ok {
				key = fmt.Sprint("pitch ", score.Pitch)
			}
			got[m.Topic] = append(got[m.Topic], key)
		}
		if at < next {
			continue
		}
		next += 7 * time.Second
		for topic, keys := range got {
			recent := keys[max(0, len(keys)-backlog[topic]):]
			for _, c := range companies {
				if topic == TopicPrices && !slices.Contains(recent, c.symbol) {
					t.Fatalf("at %v the last %d of %s do not show %s", at, len(recent), topic, c.symbol)
				}
			}
			for i := range pitches {
				if topic == TopicScores && !slices.Contains(recent, fmt.Sprint("pitch ", i)) {
					t.Fatalf("at %v the last %d of %s do not show pitch %d", at, len(recent), topic, i)
				}
			}
		}
	}
}
