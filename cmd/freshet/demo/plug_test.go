package demo

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// live is a page whose streams have brought something.
func live(s pageState) bool {
	if len(s.Streams) != len(Topics) {
		return false
	}
	for _, stream := range s.Streams {
		if stream.State != "live" || len(stream.Log) < 3 {
			return false
		}
	}
	return s.Plug == "in"
}

func judged(s pageState) bool { return s.Plug == "in" && s.Verdict != nil }

// One browser for everything: they are heavy.
func TestPlug(t *testing.T) {
	b := openBrowser(t)
	p := newPuppetRelay(t)
	base, _ := serveDemo(t, p, 8)
	b.view(1280, 1440, "light")
	b.do(chromedp.Navigate(base + "/"))
	s := b.wait("both streams are live", live)
	b.shoot("live")
	if s.Subscribers == nil || *s.Subscribers != len(Topics) {
		b.wait("the page counts its own streams", func(s pageState) bool {
			return s.Subscribers != nil && *s.Subscribers == len(Topics)
		})
	}

	// missed waits until the relay has so many more events of each topic.
	missed := func(more int) {
		t.Helper()
		want := map[string]int{}
		for _, topic := range Topics {
			want[topic] = len(p.Events(topic)) + more
		}
		deadline := time.After(20 * time.Second)
		for _, topic := range Topics {
			for len(p.Events(topic)) < want[topic] {
				select {
				case <-deadline:
					t.Fatalf("the show does not go on: %d events of %s", len(p.Events(topic)), topic)
				case <-time.After(20 * time.Millisecond):
				}
			}
		}
	}
	pull := func() pageState {
		t.Helper()
		b.do(chromedp.Evaluate[chromedp.Void](`freshetDemo.pull(60000)`))
		missed(8)
		b.do(chromedp.Evaluate[chromedp.Void](`freshetDemo.plugIn()`))
		return b.wait("the verdict", judged)
	}

	t.Run("nothing is missing", func(t *testing.T) {
		before := b.state()
		b.do(chromedp.Click(chromedp.CSS("#plug")))
		out := b.wait("the plug is out", func(s pageState) bool { return s.Plug == "out" })
		for _, stream := range out.Streams {
			if stream.State != "cut" {
				t.Errorf("%s is %s with the plug pulled", stream.Topic, stream.State)
			}
		}
		missed(20)
		b.shoot("unplugged")
		if p.Streams() != 0 {
			t.Errorf("%d streams with the plug pulled", p.Streams())
		}
		b.do(chromedp.Click(chromedp.CSS("#plug")))
		after := b.wait("the verdict", judged)
		b.shoot("replayed")
		v := after.Verdict
		if !v.OK || v.Missing+v.Doubled+v.Disordered+v.Declared != 0 {
			t.Errorf("the verdict is %+v: %s", v, after.Text)
		}
		if v.Replayed < 40 || v.Cause != "plug" {
			t.Errorf("%d were replayed for cause %s, 40 or more were missed", v.Replayed, v.Cause)
		}
		wantUnbroken(t, after)
		for i, stream := range after.Streams {
			if stream.First != before.Streams[i].First || stream.Last <= before.Streams[i].Last {
				t.Errorf("%s went from %d–%d to %d–%d", stream.Topic,
					before.Streams[i].First, before.Streams[i].Last, stream.First, stream.Last)
			}
		}
	})

	t.Run("a lost connection comes back by itself", func(t *testing.T) {
		p.CutAll()
		s := b.wait("the verdict on the loss", func(s pageState) bool {
			return judged(s) && s.Verdict.Cause == "lost"
		})
		if !s.Verdict.OK {
			t.Errorf("the verdict is %+v: %s", s.Verdict, s.Text)
		}
		wantUnbroken(t, s)
	})

	// A page that cannot say no proves nothing by saying yes.
	for _, c := range []struct {
		name  string
		fault fault
		found func(*verdict) int
	}{
		{"it sees a missing event", dropsOne, func(v *verdict) int { return v.Missing }},
		{"it sees a doubled event", doublesOne, func(v *verdict) int { return v.Doubled }},
		{"it sees events out of order", swapsTwo, func(v *verdict) int { return v.Disordered }},
		{"it tells a declared gap from a loss", announcesGap, func(v *verdict) int { return v.Declared }},
	} {
		t.Run(c.name, func(t *testing.T) {
			p.Break(c.fault)
			defer p.Break(honest)
			s := pull()
			if !p.Faulted() {
				t.Fatal("the relay made no fault")
			}
			if s.Verdict.OK || c.found(s.Verdict) == 0 {
				t.Errorf("the verdict is %+v: %s", s.Verdict, s.Text)
			}
			if c.fault == announcesGap && s.Verdict.Missing != 0 {
				t.Errorf("a declared gap counts as %d missing", s.Verdict.Missing)
			}
			broken := 0
			for _, stream := range s.Streams {
				if unbroken(stream.Log) != nil {
					broken++
				}
			}
			if broken == 0 {
				t.Error("the log of what came shows no fault")
			}
			b.shoot("fault-" + map[fault]string{dropsOne: "missing", doublesOne: "doubled", swapsTwo: "order", announcesGap: "gap"}[c.fault])
		})
	}
}
