package demo

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func TestSharesTrade(t *testing.T) {
	for i, c := range companies {
		s := newShare(rand.New(rand.NewPCG(9, uint64(i))), c)
		var at time.Duration
		jumps, sessions, trades := 0, 0, 0
		volume := 0
		spread := 0.0
		for at < 2*time.Hour {
			msg, wait := s.step(at)
			tr := msg.Body.(Trade)
			if !(0 < tr.Bid && tr.Bid < tr.Ask && tr.Bid <= tr.Last && tr.Last <= tr.Ask) {
				t.Fatalf("%s at %v: bid %v, last %v, ask %v", c.symbol, at, tr.Bid, tr.Last, tr.Ask)
			}
			if tr.Low > tr.Last || tr.High < tr.Last || tr.Size <= 0 {
				t.Fatalf("%s at %v: %+v", c.symbol, at, tr)
			}
			switch msg.Type {
			case "jump":
				jumps++
				if tr.News == "" {
					t.Errorf("%s jumps without news", c.symbol)
				}
			case "opening":
				sessions++
				volume = 0
			}
			if tr.Volume <= volume {
				t.Fatalf("%s at %v: the volume goes from %d to %d", c.symbol, at, volume, tr.Volume)
			}
			volume = tr.Volume
			spread += (tr.Ask - tr.Bid) / tr.Last
			trades++
			at += wait
		}
		if last := s.last.Last; math.Abs(math.Log(last/c.start)) > 1.2 {
			t.Errorf("%s went from %v to %v in two hours", c.symbol, c.start, last)
		}
		if jumps < 10 || jumps > 150 {
			t.Errorf("%s jumped %d times", c.symbol, jumps)
		}
		if sessions < 18 || sessions > 20 {
			t.Errorf("%s opened %d sessions in two hours", c.symbol, sessions)
		}
		if mean := spread / float64(trades); mean > 0.005 {
			t.Errorf("%s has a mean spread of %.2f%%", c.symbol, mean*100)
		}
	}
}
