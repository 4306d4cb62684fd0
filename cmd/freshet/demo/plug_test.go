package demo

import (
	"fmt"
	"strings"
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

// missed waits until so many more events of each topic have been published.
func missed(t *testing.T, more uint64, published func(topic string) uint64) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	want := map[string]uint64{}
	for _, topic := range Topics {
		want[topic] = published(topic) + more
	}
	for _, topic := range Topics {
		for published(topic) < want[topic] {
			select {
			case <-deadline:
				t.Fatalf("the show does not go on: %d events of %s", published(topic), topic)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
}

// pull pulls the plug, waits until enough was missed, and returns the verdict.
func (b *browser) pull(more uint64, published func(topic string) uint64) pageState {
	b.t.Helper()
	b.do(chromedp.Evaluate[chromedp.Void](`freshetDemo.pull(60000)`))
	missed(b.t, more, published)
	b.do(chromedp.Evaluate[chromedp.Void](`freshetDemo.plugIn()`))
	return b.wait("the verdict", judged)
}

// One browser for everything: they are heavy.
func TestPlug(t *testing.T) {
	b := openBrowser(t)
	b.view(1280, 1440, "light")
	t.Run("puppet", func(t *testing.T) { testPuppet(t, b.in(t)) })
	t.Run("relay", func(t *testing.T) { testRelay(t, b.in(t)) })
	t.Run("restart", func(t *testing.T) { testRestart(t, b.in(t)) })
	b.do(chromedp.Navigate("about:blank")) // no stream is open when the servers stop
}

// testPuppet shows that the page sees what there is to see, with a relay that
// makes mistakes when it is told to.
func testPuppet(t *testing.T, b *browser) {
	p := newPuppetRelay(t)
	b.do(chromedp.Navigate(servePuppet(t, p, 8) + "/"))
	b.wait("both streams are live", live)
	b.wait("the page counts its own streams", func(s pageState) bool {
		return s.Subscribers != nil && *s.Subscribers == len(Topics)
	})
	b.shoot("live")
	published := func(topic string) uint64 { return uint64(len(p.Events(topic))) }

	t.Run("nothing is missing", func(t *testing.T) {
		b := b.in(t)
		before := b.state()
		b.do(chromedp.Click(chromedp.CSS("#plug")))
		out := b.wait("the plug is out", func(s pageState) bool { return s.Plug == "out" })
		for _, stream := range out.Streams {
			if stream.State != "cut" {
				t.Errorf("%s is %s with the plug pulled", stream.Topic, stream.State)
			}
		}
		missed(t, 20, published)
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
		s := b.in(t).wait("the verdict on the loss", func(s pageState) bool {
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
		{"missing", dropsOne, func(v *verdict) int { return v.Missing }},
		{"doubled", doublesOne, func(v *verdict) int { return v.Doubled }},
		{"out of order", swapsTwo, func(v *verdict) int { return v.Disordered }},
		{"declared", announcesGap, func(v *verdict) int { return v.Declared }},
	} {
		t.Run("it sees what is "+c.name, func(t *testing.T) {
			b := b.in(t)
			p.Break(c.fault)
			defer p.Break(honest)
			s := b.pull(8, published)
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
			b.shoot("fault " + c.name)
		})
	}
}

// testRelay pulls the plug of a real relay, again and again, and trusts the
// counts in the events only.
func testRelay(t *testing.T, b *browser) {
	plain, secure, origin := serveRelay(t, 8)
	published := func(topic string) uint64 {
		_, sent := origin.Progress()
		return sent[topic]
	}
	for _, c := range []struct{ base, protocol string }{{plain, "http/1.1"}, {secure, "h2"}} {
		t.Run(c.protocol, func(t *testing.T) {
			b := b.in(t)
			b.do(chromedp.Navigate(c.base + "/"))
			b.wait("both streams are live over "+c.protocol, func(s pageState) bool {
				return live(s) && s.Protocol == c.protocol && s.Delay != nil
			})
			for _, more := range []uint64{0, 1, 15} {
				s := b.pull(more, published)
				if v := s.Verdict; !v.OK || v.Replayed < int(more)*len(Topics) {
					t.Errorf("after %d missed the verdict is %+v: %s", more, v, s.Text)
				}
				wantUnbroken(t, s)
			}
			b.shoot(fmt.Sprintf("relay %s", c.protocol[:2]))
		})
	}
}

// testRestart leaves the page open while the demo is stopped and started again:
// the relay knows nothing of the ids any more, the origin counts from 1, and
// the page must not take that for a loss.
func testRestart(t *testing.T, b *browser) {
	base, stop := startPlain(t, "127.0.0.1:0", 1)
	b.do(chromedp.Navigate(base + "/"))
	b.wait("both streams are live", live)
	stop()
	b.wait("the page has noticed", func(s pageState) bool { return s.Plug == "out" })
	startPlain(t, strings.TrimPrefix(base, "http://"), 2)
	s := b.wait("the verdict on the restart", judged)
	if v := s.Verdict; v.OK || !v.Again || v.Missing+v.Doubled+v.Disordered != 0 {
		t.Errorf("the verdict is %+v: %s", v, s.Text)
	}
	for _, stream := range s.Streams {
		if stream.First != 1 {
			t.Errorf("%s begins with %d", stream.Topic, stream.First)
		}
	}
	wantUnbroken(t, s)
	b.shoot("restarted")
}
