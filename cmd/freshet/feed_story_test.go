package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
	"freshet/relay"
)

const oneTopic = "http://origin.test/feed=t"

// The connection is cut behind each byte of a stream in turn, which has every line end, two
// bytes of a CRLF, characters of two to four bytes and a byte order mark among them. The
// origin resumes as it should, and the subscriber gets what it would have got uncut.
func TestStoryCutAnywhere(t *testing.T) {
	blocks := []string{ // one event each
		"\ufeffid: 1\r\nevent: goal\r\ndata: Müller 1:0\r\ndata:\r\n\r\n",
		"data: 数\rdata: 😀\rid: 2\r\r",
		":comment\nid: 3\ndata\n\n",
		"retry: 100\r\ndata: last\r\nid: 4\r\n\r\n",
	}
	whole := strings.Join(blocks, "")
	want := []string{"1 goal=Müller 1:0\n", "2 数\n😀", "3 ", "4 last", "5 after"}
	for cut := range len(whole) + 1 {
		play(t, oneTopic, func(s *stage) {
			l := s.Listen("t", "")
			first := s.origin.WantRequest("").Open()
			first.Send(whole[:cut]).Cut()
			again := <-s.origin.requests
			resume, _ := strconv.Atoi(again.request.Header.Get("Last-Event-ID")) // "": from the start
			again.Open().Send(strings.Join(blocks[resume:], "")).Send("id: 5\ndata: after\n\n")
			l.Want(want...)
			if t.Failed() {
				t.Fatalf("cut behind byte %d, resumed after %d", cut, resume)
			}
		})
	}
}

// A connection that falls silent in the middle of an event is given up and made again; the
// subscriber notices nothing but the delay.
func TestStoryStall(t *testing.T) {
	play(t, oneTopic, func(s *stage) {
		l := s.Listen("t", "")
		stalled := s.origin.WantRequest("").Open().Events(1, 2).Send("id: 3\ndata: ha")
		time.Sleep(44 * time.Second)
		stalled.WantClosed(false)
		stalled.Send("l")
		time.Sleep(46 * time.Second)
		stalled.WantClosed(true)
		s.origin.WantRequest("2").Open().Events(3, 4)
		l.Want(numbers(1, 4)...)
	})
}

// For ten minutes the origin is out of order in every way there is.
func TestStoryOutOfOrder(t *testing.T) {
	play(t, oneTopic, func(s *stage) {
		l := s.Listen("t", "")
		s.origin.WantRequest("").Open().Events(1, 2).Cut()
		l.Want(numbers(1, 2)...)
		for began, i := time.Now(), 0; time.Since(began) < 10*time.Minute; i++ {
			p := s.origin.WantRequest("2")
			switch i % 5 {
			case 0:
				p.Status(500)
			case 1:
				p.Refuse()
			case 2:
				p.Status(404)
			case 3:
				p.Status(200) // a web page
			case 4:
				p.Open().Cut()
			}
		}
		l.Want()
		s.origin.WantRequest("2").Open().Events(3, 5)
		l.Want(numbers(3, 5)...)
		select {
		case <-l.over:
			t.Error("the subscriber was sent away")
		default:
		}
	})
}

// Any overlap after a resume is recognised, also that of a cut in an overlap.
func TestStoryOverlap(t *testing.T) {
	for from := 1; from <= 5; from++ {
		play(t, oneTopic, func(s *stage) {
			l := s.Listen("t", "")
			s.origin.WantRequest("").Open().Events(1, 4).Cut()
			s.origin.WantRequest("4").Open().Events(from, min(from+1, 4)).Cut()
			s.origin.WantRequest("4").Open().Events(from, 6)
			l.Want(numbers(1, 6)...)
			s.WantCounted(map[string]float64{"events_total": 6, "ids_replaced_total": 0, "id_jumps_total": 0, "gaps_total": 0,
				"repeats_total": float64(min(from+1, 4)-min(from, 5)+1) + float64(max(4-from+1, 0))})
		})
	}
}

// Where ids count upwards by one, a jump across a reconnect is noticed, and no more is claimed:
// they may mean anything.
func TestStoryJump(t *testing.T) {
	play(t, oneTopic, func(s *stage) {
		l := s.Listen("t", "")
		s.origin.WantRequest("").Open().Events(1, 5).Cut()
		s.origin.WantRequest("5").Open().Events(9, 10)
		l.Want(append(numbers(1, 5), numbers(9, 10)...)...)
		s.WantCounted(map[string]float64{"id_jumps_total": 1, "id_jumped_total": 3, "gaps_total": 0})
	})
}

// The origin has restarted, and counts from 1 again: its events are new. They get ids that
// the relay makes, for a client that comes back with "2" means the first.
func TestStoryIDsRestart(t *testing.T) {
	play(t, oneTopic, func(s *stage) {
		l := s.Listen("t", "")
		s.origin.WantRequest("").Open().Events(1, 3).Cut()
		s.origin.WantRequest("3").Open().Send("id: 1\ndata: new 1\n\nid: 2\ndata: new 2\n\n")
		l.Want("1 1", "2 2", "3 3", "* new 1", "* new 2")
		back := s.Listen("t", l.LastID())
		old := s.Listen("t", "2")
		back.Want()
		old.Want("3 3", "* new 1", "* new 2")

		// The relay resumes from the origin's own id all the same.
		s.origin.WantNone(40 * time.Second)
		s.origin.WantRequest("2").Open().Send("id: 2\ndata: new 2\n\nid: 3\ndata: new 3\n\nid: 4\ndata: new 4\n\n")
		back.Want("* new 3", "4 new 4")
		s.WantCounted(map[string]float64{"events_total": 7, "ids_replaced_total": 3, "repeats_total": 1, "id_jumps_total": 0, "gaps_total": 0})
	})
}

// What an origin without ids sent while nobody was connected is lost, and that is said where
// it is lost.
func TestStoryWithoutIDs(t *testing.T) {
	play(t, oneTopic, func(s *stage) {
		l := s.Listen("t", "")
		s.origin.WantRequest("").Open().Send("data: a\n\ndata: b\n\n").Cut()
		s.origin.WantRequest("").Status(502)
		s.origin.WantRequest("").Open().Send("data: c\n\n")
		l.Want("* a", "* b", "gap none none origin", "* c")
		first := s.Listen("t", "0-0") // who replays is told too
		first.Want("gap 0-0 * unknown", "* a", "* b", "gap none none origin", "* c")
	})
}

// An origin that is a relay itself lost events while the connection was cut, and says so.
func TestStoryOriginSaysGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := newStage(t, "", nil, relay.Config{Topics: relay.Topics{Events: 3}})
		line := &line{over: inProcess{far.relay.Handler()}}
		near := newStage(t, "http://far.test/events/t=t", line, relay.Config{})
		l := near.Listen("t", "")
		synctest.Wait()
		publish := func(from, to int) {
			for i := from; i <= to; i++ {
				if _, err := far.relay.Publish(t.Context(), "t", "", sse.Event{ID: fmt.Sprint(i), Data: fmt.Append(nil, i)}); err != nil {
					t.Fatal(err)
				}
			}
			synctest.Wait()
		}
		publish(1, 2)
		line.Cut(true)
		publish(3, 4) // the far relay keeps them
		line.Cut(false)
		time.Sleep(time.Minute)
		l.Want(numbers(1, 4)...)

		line.Cut(true)
		publish(5, 14) // more than it keeps
		line.Cut(false)
		time.Sleep(time.Minute)
		l.Want(append([]string{"gap 4 12 origin"}, numbers(12, 14)...)...)

		publish(15, 15)
		l.Want("15 15")
	})
}

// One stream brings many topics, each below the feed's prefix.
func TestStoryPrefix(t *testing.T) {
	play(t, "http://origin.test/all=live/", func(s *stage) {
		a, b := s.Listen("live/a", ""), s.Listen("live/b", "")
		other, outside := s.Listen("live", ""), s.Listen("news", "")
		event := func(topic string, id int) string {
			return fmt.Sprintf("topic: %s\nid: %d\ndata: %d\n\n", topic, id, id)
		}
		s.origin.WantRequest("").Open().Send(event("live/a", 1) + event("live/b", 2) + event("news", 3) + event("live", 4) +
			event("live/../news", 5) + event("", 6) + "id: 7\ndata: 7\n\n" + event("live/b", 8)).Cut()
		s.origin.WantRequest("8").Open().Send(event("live/a", 1) + event("live/b", 2) + event("live/b", 8) + event("live/a", 9))
		a.Want("1 1", "9 9")
		b.Want("2 2", "8 8")
		other.Want()
		outside.Want()
	})
}

// One feed that is stuck or broken touches no other.
func TestStoryFeedsAreApart(t *testing.T) {
	play(t, "http://a.test/=a http://b.test/=b http://c.test/=c", func(s *stage) {
		byHost := make(map[string]*pulled)
		for range 3 {
			p := <-s.origin.requests
			byHost[p.request.URL.Host] = p
		}
		a, b, c := s.Listen("a", ""), s.Listen("b", ""), s.Listen("c", "")
		byHost["a.test"].Open().Send("id: 1\ndata: hal") // stuck
		byHost["c.test"].Status(500)                     // broken
		byHost["b.test"].Open().Events(1, 100)
		a.Want()
		b.Want(numbers(1, 100)...)
		c.Want()
	})
}

// The origin is an origin.Feed that keeps only its last twenty events. For an hour it makes
// one a second, and the line to it is up and down. The transcript equals the origin's, or has a gap
// exactly where the origin lost it.
func TestStoryAnHourOfFlapping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFlappingOrigin(20)
		s := newStage(t, "http://origin.test/feed=t", a.line, relay.Config{})
		l := s.Listen("t", "")
		synctest.Wait() // the relay has connected
		sent := a.play(t, time.Hour)
		l.Leave()

		var got []string
		gaps, missing, last := 0, 0, 0
		gapBefore := false
		for _, e := range l.events {
			switch e.Type {
			case sse.TypeOpen:
			case sse.TypeGap:
				gaps++
				gapBefore = true
			default:
				n, err := strconv.Atoi(string(e.Data))
				if err != nil || n != last+1 && !gapBefore || n <= last {
					t.Fatalf("%q after %d, %d gaps", e.Data, last, gaps)
				}
				if n == last+1 && gapBefore {
					t.Errorf("a gap before %d, where nothing is missing", n)
				}
				missing += n - last - 1
				last, gapBefore = n, false
				got = append(got, string(e.Data))
			}
		}
		t.Logf("%d sent, %d came; %d cuts, %d gaps with %d events", sent, len(got), a.line.cuts, gaps, missing)
		if last != sent || len(got)+missing != sent {
			t.Errorf("the last is %d of %d; %d came, %d are in gaps", last, sent, len(got), missing)
		}
		if a.line.cuts < 20 || gaps == 0 || len(got) < sent/2 {
			t.Error("the line was not so bad, or too bad")
		}
		if diff := gocmp.Diff(a.lost, gaps); diff != "" {
			t.Errorf("losses at the origin and gaps (-origin +subscriber):\n%s", diff)
		}
	})
}
