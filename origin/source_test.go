package origin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"freshet/origin/sse"
)

func TestSourceResumesWhereItWasCut(t *testing.T) {
	for name, torn := range map[string]string{
		"between events":  "",
		"in an event":     "id: 3\ndata: never",
		"after its data":  "id: 3\ndata: never\n",
		"in a CRLF":       "id: 3\r\ndata: never\r\n\r",
		"in a character":  "id: 3\ndata: \xE2\x82",
		"in a field name": "da",
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
				c := o.WantRequest("").Open()
				c.Event("1", "a").Send("event: goal\nid: 2\ndata: b\n\n")
				if name == "in a CRLF" { // its CR ends the block, so the event is whole
					c.Send(torn).Cut()
					o.WantRequest("3").Open().Event("4", "d")
					l.Want(t, "t 1 a", "t 2 goal=b", "t 3 never", "t 4 d")
					return
				}
				c.Send(torn).Cut()
				l.Want(t, "t 1 a", "t 2 goal=b")
				o.WantRequest("2").Open().Event("3", "c")
				l.Want(t, "t 3 c")
				if s.Cursor() != "3" {
					t.Errorf("cursor %q", s.Cursor())
				}
			})
		})
	}
}

func TestSourceDropsOverlap(t *testing.T) {
	for overlap := range 6 {
		t.Run(fmt.Sprint(overlap), func(t *testing.T) {
			m := NewMetrics(nil)
			story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
				c := o.WantRequest("").Open()
				for i := 1; i <= 5; i++ {
					c.Event(fmt.Sprint(i), "x")
				}
				c.Cut()
				l.Want(t, "t 1 x", "t 2 x", "t 3 x", "t 4 x", "t 5 x")
				c = o.WantRequest("5").Open()
				for i := 6 - overlap; i <= 6; i++ {
					c.Event(fmt.Sprint(i), "x")
				}
				l.Want(t, "t 6 x")
				if got := testutil.ToFloat64(m.repeats); got != float64(overlap) {
					t.Errorf("%v repeats", got)
				}
			}, func(s *Source) { s.Metrics = m })
		})
	}
}

// A cut in the middle of an overlap resumes from the newest event, not from
// the repeat.
func TestSourceCutInOverlap(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Event("1", "a").Event("2", "b").Event("3", "c").Cut()
		o.WantRequest("3").Open().Event("1", "a").Event("2", "b").Send("id: 2\n\n").Cut()
		o.WantRequest("3").Open().Event("3", "c").Event("4", "d").Cut()
		o.WantRequest("4")
		l.Want(t, "t 1 a", "t 2 b", "t 3 c", "t 4 d")
	})
}

// An origin that was restarted counts from 1 again; none of its events is taken
// for a repeat.
func TestSourceIDsStartAgain(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Event("1", "a").Event("2", "b").Event("3", "c").Cut()
		o.WantRequest("3").Open().Event("1", "A").Event("2", "B").Event("3", "c").Event("4", "D").Cut()
		o.WantRequest("4").Open().Event("3", "c").Event("4", "D").Event("5", "E")
		l.Want(t, "t 1 a", "t 2 b", "t 3 c", "t 1 A", "t 2 B", "t 3 c", "t 4 D", "t 5 E")
	})
}

// Only the unbroken run right after a reconnect is an overlap.
func TestSourceRepeatAtAnotherTimeIsNew(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		c := o.WantRequest("").Open()
		c.Event("1", "a").Event("1", "a").Event("2", "b")
		c.Cut()
		c = o.WantRequest("2").Open()
		c.Event("2", "b").Event("3", "c").Event("2", "b")
		c.Cut()
		o.WantRequest("2")
		l.Want(t, "t 1 a", "t 1 a", "t 2 b", "t 3 c", "t 2 b")
	})
}

// What another relay brought before this one took over is known to the log.
func TestSourceOverlapWithTheLog(t *testing.T) {
	l := newLedger()
	story(t, func(t *testing.T, o *puppetOrigin, _ *ledger, s *Source) {
		l.Append(t.Context(), "t", sse.Event{ID: "1", Data: []byte("a")})
		l.Append(t.Context(), "t", sse.Event{ID: "2", Data: []byte("b")})
		o.WantRequest("1").Open().Event("1", "a").Event("2", "b").Event("3", "c")
		l.Want(t, "t 1 a", "t 2 b", "t 3 c")
	}, func(s *Source) { s.Sink, s.Log, s.LastEventID = l, l, "1" })
}

func TestSourceStall(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		c := o.WantRequest("").Open().Event("1", "a")
		for range 10 { // a heartbeat is not silence
			time.Sleep(40 * time.Second)
			c.Send(":\n")
		}
		began := time.Now()
		o.WantRequest("1") // and is not answered
		if d := time.Since(began); d < 45*time.Second || d > 47*time.Second {
			t.Errorf("cut after %v of silence", d)
		}
		began = time.Now()
		o.WantRequest("1").Open().Event("2", "b")
		if d := time.Since(began); d < 45*time.Second {
			t.Errorf("gave the request up after %v", d)
		}
		l.Want(t, "t 1 a", "t 2 b")
	})
}

// While the sink takes its time the origin is not called silent.
func TestSourceSlowSink(t *testing.T) {
	l := newLedger()
	l.fail = func(string, sse.Event) error { time.Sleep(10 * time.Minute); return nil }
	story(t, func(t *testing.T, o *puppetOrigin, _ *ledger, s *Source) {
		c := o.WantRequest("").Open().Event("1", "a").Event("2", "b").Event("3", "c")
		time.Sleep(10*time.Minute + 20*time.Second)
		l.Want(t, "t 1 a", "t 2 b", "t 3 c")
		o.WantNone(10 * time.Second)
		c.Cut()
	}, func(s *Source) { s.Sink = l })
}

func TestSourceBearsFailures(t *testing.T) {
	m := NewMetrics(nil)
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Event("1", "a").Cut()
		began := time.Now()
		for i := range 40 {
			r := o.WantRequest("1")
			switch i % 5 {
			case 0:
				r.Status(500)
			case 1:
				r.reply(200, "text/html", http.NoBody)
			case 2:
				r.Refuse()
			case 3:
				r.Status(404)
			case 4:
				r.Open().End()
			}
		}
		o.WantRequest("1").Open().Event("2", "b")
		if d := time.Since(began); d < 3*time.Minute || d > 20*time.Minute {
			t.Errorf("41 attempts in %v", d)
		}
		l.Want(t, "t 1 a", "t 2 b")
		for result, want := range map[attemptResult]float64{attemptOpened: 10, attemptFailed: 8, attemptOther: 8, attemptUnreachable: 8, attemptRefused: 8} {
			if got := testutil.ToFloat64(m.attempts[result]); got != want {
				t.Errorf("%v attempts %s, want %v", got, result, want)
			}
		}
	}, func(s *Source) { s.Metrics = m })
}

func TestSourceHonoursRetry(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		var most time.Duration
		o.WantRequest("").Open().Send("retry: 20000\n").Event("1", "a").Cut()
		for range 200 {
			began := time.Now()
			c := o.WantRequest("1").Open()
			most = max(most, time.Since(began))
			c.Event("1", "a").Cut() // an overlap is a sign of life
		}
		if most < 15*time.Second || most > 20*time.Second {
			t.Errorf("waited at most %v", most)
		}
		o.WantRequest("1").Open().Send("retry: 0\n").Cut()
		began := time.Now()
		for range 100 {
			o.WantRequest("1").Open().Event("1", "a").Cut()
		}
		if d := time.Since(began); d < time.Second {
			t.Errorf("100 attempts in %v: an origin cannot ask for a tight loop", d)
		}
		l.Want(t, "t 1 a")
	})
}

func TestSourceRetryAfter(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		began := time.Now()
		r := o.WantRequest("")
		r.answer <- &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"25"}}, Body: http.NoBody}
		o.WantRequest("")
		if d := time.Since(began); d < 25*time.Second {
			t.Errorf("came again after %v", d)
		}
	})
}

func TestSourceTriesURLsInTurn(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		want := func(host, id string) *puppetStream {
			t.Helper()
			r := o.WantRequest(id)
			if r.request.URL.Host != host {
				t.Fatalf("request to %s, want %s", r.request.URL.Host, host)
			}
			return r
		}
		began := time.Now()
		want("a", "").Refuse()
		want("b", "").Status(500)
		if time.Since(began) > 0 {
			t.Error("waited before the next URL was tried")
		}
		want("c", "").Open().Event("1", "x").Cut()
		want("c", "1").Refuse() // it served, so it is asked first
		want("a", "1").Open().Event("2", "y")
		l.Want(t, "t 1 x", "t 2 y")
	}, func(s *Source) { s.URLs = []string{"http://a/", "http://b/", "http://c/"} })
}

func TestSourceOriginSaysGap(t *testing.T) {
	m := NewMetrics(nil)
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		c := o.WantRequest("").Open().Send("event: freshet.open\ndata:\nid: 0-0\n\n")
		c.Event("1", "a").Cut()
		c = o.WantRequest("1").Open()
		c.Send("retry: 5\nevent: freshet.open\ndata:\nid: 1\n\n")
		c.Send("event: freshet.gap\ndata: {\"reason\":\"evicted\",\"oldest_id\":\"8\"}\nid: 7\n\n").Cut()
		o.WantRequest("7").Open().Event("8", "b").Send("event: freshet.fake\ndata: x\n\n").Event("9", "c")
		l.Want(t, "t 1 a", "t GAP 1 to 8", "t 8 b", "t 9 c")
		if got := testutil.ToFloat64(m.gaps[gapOrigin]); got != 1 {
			t.Errorf("%v gaps", got)
		}
		if got := testutil.ToFloat64(m.dropped[droppedReserved]); got != 1 {
			t.Errorf("%v dropped", got)
		}
	}, func(s *Source) { s.Metrics = m })
}

func TestSourceOpenPrimesTheCursor(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Send("event: freshet.open\ndata:\nid: 4-1\n\n").Cut()
		o.WantRequest("4-1").Open().Send("id: 4-2\n\n").Cut() // a bare id counts, too
		o.WantRequest("4-2")
		l.Want(t)
	})
}

func TestSourceEnds(t *testing.T) {
	for name, end := range map[string]func(*puppetStream){
		"204":         func(r *puppetStream) { r.Status(204) },
		"freshet.end": func(r *puppetStream) { r.Open().Send("event: freshet.end\ndata:\nid: 9\n\n") },
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
				o.WantRequest("").Open().Event("1", "a").Cut()
				end(o.WantRequest("1"))
				o.WantNone(time.Hour)
				l.Want(t, "t 1 a", "t END")
			})
		})
	}
}

// Without ids there is no resuming, and what came in the meantime is missing.
func TestSourceWithoutIDs(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Cut() // nothing came yet, so nothing is missing
		o.WantRequest("").Open().Send("data: a\n\ndata: a\n\n").Cut()
		o.WantRequest("").Open().Cut()
		o.WantRequest("").Open().Send("data: b\n\n").Cut() // one gap says it
		l.Want(t, "t  a", "t  a", "t GAP", "t  b")
		o.WantRequest("").Open().Event("1", "c").Send("id\ndata: d\n\n").Cut()
		o.WantRequest("").Open() // the empty id has reset it
		l.Want(t, "t GAP", "t 1 c", "t  d", "t GAP")
	})
}

func TestSourceUnsendableID(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		o.WantRequest("").Open().Event("a\x01b", "x").Cut()
		o.WantRequest("").Open().Event("caf\u00e9 1", "y").Cut()
		o.WantRequest("caf\u00e9 1")
		l.Want(t, "t a\x01b x", "t GAP", "t caf\u00e9 1 y")
	})
}

// Events that may not be kept leave a gap where they would be, and the feed
// goes on.
func TestSourceEventLeftOut(t *testing.T) {
	m := NewMetrics(nil)
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		l.fail = func(topic string, e sse.Event) error {
			if string(e.Data) == "bad" {
				return statusError(400)
			}
			return nil
		}
		c := o.WantRequest("").Open()
		c.Event("1", "a").Event("2", strings.Repeat("x", 200)).Event("3", "b").Event("4", "bad").Event("5", "c").Cut()
		o.WantRequest("5")
		l.Want(t, "t 1 a", "t GAP", "t 3 b", "t GAP", "t 5 c")
		if l, r := testutil.ToFloat64(m.dropped[droppedLarge]), testutil.ToFloat64(m.dropped[droppedRefused]); l != 1 || r != 1 {
			t.Errorf("%v large, %v refused", l, r)
		}
	}, func(s *Source) { s.MaxEvent, s.Metrics = 100, m })
}

// What could not be committed for now is asked for again.
func TestSourceSinkFails(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		failing := true
		l.fail = func(string, sse.Event) error {
			if failing {
				return errors.New("no quorum")
			}
			return nil
		}
		o.WantRequest("").Open().Send("id: 0\n\n").Event("1", "a")
		o.WantRequest("0").Open().Event("1", "a")
		r := o.WantRequest("0")
		l.mu.Lock()
		failing = false
		l.mu.Unlock()
		r.Open().Event("1", "a").Event("2", "b")
		l.Want(t, "t 1 a", "t 2 b")
	})
}

func TestSourceTopicEndedHere(t *testing.T) {
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		l.fail = func(string, sse.Event) error { return statusError(410) }
		o.WantRequest("").Open().Event("1", "a")
		o.WantNone(time.Hour)
		l.Want(t)
	})
}

func TestSourceCountsJumps(t *testing.T) {
	m := NewMetrics(nil)
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		jumps := func(times, ids float64) {
			t.Helper()
			synctest.Wait()
			if a, b := testutil.ToFloat64(m.jumps), testutil.ToFloat64(m.jumped); a != times || b != ids {
				t.Errorf("%v jumps over %v ids, want %v over %v", a, b, times, ids)
			}
		}
		o.WantRequest("").Open().Event("7", "a").Event("8", "b").Event("9", "c").Cut()
		o.WantRequest("9").Open().Event("9", "c").Event("10", "d").Cut()
		jumps(0, 0)
		c := o.WantRequest("10").Open().Event("14", "e")
		jumps(1, 3)
		c.Event("20", "f").Event("x", "g") // not across a reconnect
		c.Cut()
		o.WantRequest("x").Open().Event("900", "h")
		jumps(1, 3)
		l.Want(t, "t 7 a", "t 8 b", "t 9 c", "t 10 d", "t 14 e", "t 20 f", "t x g", "t 900 h")
	}, func(s *Source) { s.Metrics = m })
}

func TestSourcePrefix(t *testing.T) {
	m := NewMetrics(nil)
	story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
		c := o.WantRequest("").Open()
		send := func(topic, id, data string) { c.Send("topic: "+topic+"\n").Event(id, data) }
		send("live/a", "1", "x")
		send("live/b", "2", "y")
		send("other/b", "3", "out of bounds")
		send("live/../x", "4", "no topic")
		c.Event("5", "none named")
		c.Send("topic: live/b\nevent: freshet.end\ndata:\nid: 6\n\n")
		send("live/c", "7", "z")
		c.Cut()
		l.Want(t, "live/a 1 x", "live/b 2 y", "live/b END", "live/c 7 z")
		if got := testutil.ToFloat64(m.dropped[droppedAddress]); got != 3 {
			t.Errorf("%v dropped", got)
		}
		c = o.WantRequest("7").Open()
		send("live/b", "2", "y") // its origin's overlap includes what was not taken
		send("other/b", "3", "out of bounds")
		send("live/c", "7", "z")
		c.Send("topic: live/c\nevent: freshet.gap\ndata:\nid: 8\n\n")
		send("live/a", "9", "x2")
		l.Want(t, "live/c GAP", "live/a 9 x2")
		c.Send("event: freshet.gap\ndata:\nid: 10\n\n")
		l.Want(t, "live/a GAP")
		c.Send("event: freshet.end\ndata:\n\n")
		o.WantNone(time.Hour)
		l.Want(t)
	}, func(s *Source) { s.Topic, s.Prefix, s.Metrics = "", "live/", m })
}

// An hour of an origin that flaps in every way there is: the transcript is the
// origin's, with a gap exactly where the origin says that it lost events.
func TestSourceAnHourOfFlapping(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			story(t, func(t *testing.T, o *puppetOrigin, l *ledger, s *Source) {
				random := rand.New(rand.NewPCG(seed, 7))
				var log []string // the origin's events; the id is the index + 1
				kept := 0        // those before are evicted
				var want []string
				told := 0 // how many events the source has for certain been told, or of their loss
				line := func(i int) string { return fmt.Sprintf("t %d %s", i+1, log[i]) }
				event := func(i int) string { return fmt.Sprintf("id: %d\ndata: %s\n\n", i+1, log[i]) }
				connections := 0
				for end := time.Now().Add(time.Hour); time.Now().Before(end); connections++ {
					for range random.IntN(20) {
						log = append(log, fmt.Sprintf("event %d", random.IntN(5)))
					}
					var r *puppetStream
					select {
					case r = <-o.requests:
					case <-time.After(5 * time.Minute):
						t.Fatal("no request in five minutes")
					}
					id := 0
					fmt.Sscan(r.request.Header.Get("Last-Event-ID"), &id)
					if id != told {
						t.Fatalf("resumes after %d, was told %d", id, told)
					}
					switch random.IntN(6) {
					case 0:
						r.Status(500)
						continue
					case 1:
						r.Refuse()
						continue
					}
					r.Open()
					if random.IntN(10) == 0 {
						kept = len(log)
					}
					var next int
					switch {
					case id < kept && id > 0: // gone
						r.Send(fmt.Sprintf("event: freshet.gap\ndata:\nid: %d\n\n", kept))
						if len(want) == 0 || want[len(want)-1] != "t GAP" { // one says it all
							want = append(want, "t GAP")
						}
						next, told = kept, kept
					case id < kept:
						next = kept
					default:
						next = max(kept, id-random.IntN(4)) // some overlap
					}
					for next < len(log) && random.IntN(12) > 0 {
						r.Send(event(next))
						if next >= told {
							want, told = append(want, line(next)), next+1
						}
						next++
						if random.IntN(8) == 0 {
							log = append(log, "more")
							time.Sleep(time.Duration(random.IntN(30_000)) * time.Millisecond)
						}
					}
					switch random.IntN(4) {
					case 0:
						r.End()
					case 1: // stalls, to be cut
					case 2:
						if next < len(log) {
							torn := event(next)
							r.Send(torn[:random.IntN(len(torn)-1)])
						}
						r.Cut()
					default:
						r.Cut()
					}
				}
				if connections < 50 || len(want) < 100 {
					t.Errorf("only %d connections and %d lines: not much of an hour", connections, len(want))
				}
				l.Want(t, want...)
			})
		})
	}
}

func TestSourceCheck(t *testing.T) {
	good := Source{Topic: "t", URLs: []string{"http://o/"}, Sink: newLedger()}
	for want, s := range map[string]*Source{
		"":                   {Topic: "t", URLs: good.URLs, Sink: good.Sink},
		"no Sink":            {Topic: "t", URLs: good.URLs},
		"no url":             {Topic: "t", Sink: good.Sink},
		"neither topic":      {URLs: good.URLs, Sink: good.Sink},
		"topic and a prefix": {Topic: "t", Prefix: "p/", URLs: good.URLs, Sink: good.Sink},
		"empty segment":      {Topic: "a//b", URLs: good.URLs, Sink: good.Sink},
		"begins no topic":    {Prefix: "/", URLs: good.URLs, Sink: good.Sink},
		"{topic}":            {Template: "http://o/", Sink: good.Sink},
		"neither topic nor":  {Template: "http://o/{topic}", Topic: "t", Sink: good.Sink},
		"http or https":      {Topic: "t", URLs: []string{"ftp://o/"}, Sink: good.Sink},
		"retry is negative":  {Topic: "t", URLs: good.URLs, Sink: good.Sink, Retry: -1},
	} {
		err := s.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want it to say %q", err, want)
		}
		if want != "" && s.Run(context.Background()) == nil {
			t.Errorf("Run with a fault: no error (%s)", want)
		}
	}
}

func TestBackoff(t *testing.T) {
	b := backoff{base: time.Second, most: 10 * time.Second}
	top := func(n int64) int64 { return n - 1 }
	var got []time.Duration
	for range 6 {
		got = append(got, b.next(top))
	}
	s := time.Second
	if diff := cmp.Diff([]time.Duration{s, 2 * s, 4 * s, 8 * s, 10 * s, 10 * s}, got); diff != "" {
		t.Error(diff)
	}
	b.succeeded()
	if d := b.next(top); d != s {
		t.Errorf("%v after success", d)
	}
	if d := b.next(func(int64) int64 { return 0 }); d != 0 {
		t.Errorf("full jitter begins at %v", d)
	}
	b.rebase(time.Hour)
	if d := b.next(top); d != 10*s {
		t.Errorf("%v with an enormous base", d)
	}
}

// The memory of repeats is bounded, and right up to its bound.
func TestRepeatsAreBounded(t *testing.T) {
	r := newRepeats()
	never := func() bool { return false }
	event := func(i int) *sse.Event { return &sse.Event{ID: fmt.Sprint(i), Data: []byte("x")} }
	for i := range 3 * remembered {
		r.add("t", event(i))
	}
	if len(r.number) != remembered || len(r.ring) != remembered {
		t.Fatalf("%d numbers, %d digests", len(r.number), len(r.ring))
	}
	if r.known("t", event(2*remembered-1), never) {
		t.Error("an event is known that should be forgotten")
	}
	for i := 2 * remembered; i < 3*remembered; i++ {
		if !r.known("t", event(i), never) {
			t.Fatalf("event %d is not known", i)
		}
	}
	if r.known("t", event(2*remembered+5), never) {
		t.Error("an event is known out of order")
	}
	r.begin()
	if !r.known("t", event(2*remembered+5), never) || r.known("u", event(2*remembered+6), never) {
		t.Error("after begin")
	}
}
