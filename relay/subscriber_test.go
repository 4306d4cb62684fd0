package relay

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"pgregory.net/rapid"

	"freshet/origin/sse"
	"freshet/ringbuf"
)

// join makes a subscriber as a request would.
func joinTopic(t testing.TB, r *Relay, name string, from start) *subscriber {
	t.Helper()
	topic, problem := r.topics.use(name, subscribing)
	if problem != nil {
		t.Fatal(problem)
	}
	who, over := r.admission.subscriber("192.0.2.1:1")
	if over != "" {
		t.Fatalf("refused by limits.%s", over)
	}
	topic.join(from.resume)
	s, _ := newSubscriber(topic, who, from, topic.seat(context.Background(), from))
	s.Start(0)
	return s
}

// pull returns everything that the subscriber has now, asking for max bytes at
// a time, and whether its stream is over.
func pull(s *subscriber, max int) (all []byte, over bool) {
	for {
		p, end := s.Next(max)
		if all = append(all, p...); end {
			return all, true
		}
		if len(p) == 0 {
			return all, false
		}
	}
}

// decode returns the events of a stream's bytes.
func decode(stream []byte) (events []sse.Event) {
	var d sse.Decoder
	d.Feed(stream)
	for e := (sse.Event{}); d.Next(&e); {
		events = append(events, e.Clone())
	}
	return events
}

// script is the stream as a line for each event: "open 4", "gap lapped", "7".
func script(stream []byte) string {
	var b strings.Builder
	for _, e := range decode(stream) {
		switch e.Type {
		case sse.TypeOpen:
			fmt.Fprintf(&b, "open %s\n", e.ID[strings.LastIndexByte(e.ID, '-')+1:])
		case sse.TypeGap:
			var g gap
			json.Unmarshal(e.Data, &g)
			fmt.Fprintf(&b, "gap %s\n", g.Reason)
		case sse.TypeEnd:
			b.WriteString("end\n")
		default:
			fmt.Fprintf(&b, "%s\n", e.Data)
		}
	}
	return b.String()
}

func wantScript(t testing.TB, stream []byte, want ...string) {
	t.Helper()
	if got, want := script(stream), strings.Join(want, "\n")+"\n"; got != want {
		t.Fatalf("got the stream\n%swant\n%s%q", got, want, stream)
	}
}

func TestSubscriberBegins(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 5}})
	publishNumbers(t, r, "t", 1, 8) // 4 to 8 are kept
	topic := r.topics.peek("t")
	position := func(seq uint64) string { return topic.ring().Before(ringbuf.CursorAfter(seq)).String() }

	for _, c := range []struct {
		name string
		from start
		want []string
	}{
		{"live", start{}, []string{"open 8"}},
		{"oldest", start{from: fromOldest}, []string{"open 3", "4", "5", "6", "7", "8"}},
		{"last two", start{from: fromLast, last: 2}, []string{"open 6", "7", "8"}},
		{"last none", start{from: fromLast}, []string{"open 8"}},
		{"last of more than there are", start{from: fromLast, last: 99}, []string{"open 3", "4", "5", "6", "7", "8"}},
		{"resume", start{resume: position(6)}, []string{"open 6", "7", "8"}},
		{"resume at the head", start{resume: position(8)}, []string{"open 8"}},
		{"resume just before the oldest", start{resume: position(3)}, []string{"open 3", "4", "5", "6", "7", "8"}},
		{"resume from what is gone", start{resume: position(2)}, []string{"open 2", "gap evicted", "4", "5", "6", "7", "8"}},
		{"resume from what never was", start{resume: "x-1"}, []string{"open 1", "gap unknown", "4", "5", "6", "7", "8"}},
		{"resume from what cannot be an id", start{resume: "a\nid: b"}, []string{"open 3", "gap unknown", "4", "5", "6", "7", "8"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, max := range []int{1, 7, 1 << 20} {
				s := joinTopic(t, r, "t", c.from)
				stream, over := pull(s, max)
				if over {
					t.Fatal("the stream is over")
				}
				wantScript(t, stream, c.want...)
				s.Close(nil)
			}
		})
	}
}

// Whatever comes between, a client that reconnects with the last id it saw gets
// the rest: the gap's block too is repeated until it has been read.
func TestSubscriberGapIsToldAgain(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 2}})
	publishNumbers(t, r, "t", 1, 5)
	s := joinTopic(t, r, "t", start{resume: "lost"})
	stream, _ := pull(s, 1<<20)
	gapAt := bytes.Index(stream, []byte("event: freshet.gap"))
	for cut := range stream {
		var d sse.Decoder
		d.Feed(stream[:cut])
		for e := (sse.Event{}); d.Next(&e); {
		}
		if cut < gapAt && d.LastEventID() != "" && d.LastEventID() != "lost" {
			t.Fatalf("a client cut off before the gap resumes from %q", d.LastEventID())
		}
	}
}

func TestSubscriberLapped(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 3}})
	s := joinTopic(t, r, "t", start{})
	stream, _ := pull(s, 1<<20)
	publishNumbers(t, r, "t", 1, 2)
	more, _ := pull(s, 1<<20)
	publishNumbers(t, r, "t", 3, 9)
	lapped, _ := pull(s, 1<<20)
	wantScript(t, append(append(stream, more...), lapped...), "open 0", "1", "2", "gap lapped", "9")

	var g gap
	e := decode(lapped)[0]
	if err := json.Unmarshal(e.Data, &g); err != nil {
		t.Fatal(err)
	}
	topic := r.topics.peek("t")
	at := func(seq uint64) string { return topic.ring().Before(ringbuf.CursorAfter(seq)).String() }
	if want := (gap{Topic: "t", LastEventID: at(2), OldestID: at(9), Reason: gapLapped}); g != want {
		t.Errorf("gap %+v, want %+v", g, want)
	}
	if e.ID != at(8) {
		t.Errorf("the gap's id is %s, want the position before what follows, %s", e.ID, at(8))
	}
}

// An event that was begun is finished, though the ring has forgotten it.
func TestSubscriberFinishesWhatItBegan(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 3}})
	s := joinTopic(t, r, "t", start{})
	stream, _ := pull(s, 1<<20)
	long := strings.Repeat("x", 1000)
	mustPublish(t, r, "t", sse.Event{Data: []byte(long)})
	begun, _ := s.Next(100)
	if r.held.bytes.Load() == 0 {
		t.Error("nothing is held")
	}
	if s.Heartbeat() != nil {
		t.Error("a heartbeat inside an event")
	}
	publishNumbers(t, r, "t", 1, 9)
	rest, _ := pull(s, 64)
	wantScript(t, append(append(stream, begun...), rest...), "open 0", long, "gap lapped", "9")
	if n := r.held.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
	if s.Heartbeat() == nil {
		t.Error("no heartbeat between events")
	}
}

// Where too much is held already, the event is read again from the ring, and
// if that has forgotten it the stream ends there: the client resumes.
func TestSubscriberWithoutRoomToHold(t *testing.T) {
	r := newTestRelay(t, Config{Topics: Topics{Events: 3}})
	r.held.most = 50
	long := strings.Repeat("x", 1000)
	begin := func() (*subscriber, []byte) {
		s := joinTopic(t, r, "t", start{})
		stream, _ := pull(s, 1<<20)
		mustPublish(t, r, "t", sse.Event{Data: []byte(long)})
		begun, _ := s.Next(100)
		if s.Heartbeat() != nil {
			t.Error("a heartbeat inside an event")
		}
		return s, append(stream, begun...)
	}

	s, stream := begin()
	mustPublish(t, r, "t", sse.Event{Data: []byte("next")})
	rest, _ := pull(s, 300)
	wantScript(t, append(stream, rest...), "open 0", long, "next")

	s, stream = begin()
	publishNumbers(t, r, "t", 1, 9)
	rest, over := pull(s, 300)
	if !over || len(rest) != 0 {
		t.Fatalf("got %q, over %v, want the end", rest, over)
	}
	wantScript(t, stream, "open 2")
	s.Close(nil)
	if n := r.held.bytes.Load(); n != 0 {
		t.Errorf("%d bytes are still held", n)
	}
}

func TestSubscriberEnds(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 3)
	behind := joinTopic(t, r, "t", start{from: fromOldest})
	topic := r.topics.peek("t")
	topic.end()
	topic.pace.Store(uint32(behind.lot)) // not yet
	stream, over := pull(behind, 16)
	wantScript(t, stream, "open 0", "1", "2", "3")
	if over {
		t.Fatal("sent away before its turn")
	}
	topic.pace.Store(uint32(behind.lot) + 1)
	stream, over = pull(behind, 16)
	wantScript(t, stream, "end")
	if !over {
		t.Fatal("the stream goes on after its end")
	}
	if p, end := behind.Next(16); p != nil || !end {
		t.Fatalf("after the end came %q, %v", p, end)
	}
}

func TestSubscriberIsDrained(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 3)
	s := joinTopic(t, r, "t", start{from: fromOldest})
	r.pace.Store(everyLot)
	stream, over := pull(s, 1<<20)
	wantScript(t, stream, "open 0", "1", "2", "3") // what is here goes first
	if !over {
		t.Fatal("the stream goes on")
	}
	last := stream[bytes.LastIndexByte(stream[:len(stream)-1], '\n')+1:]
	var d sse.Decoder
	d.Feed(last)
	d.Next(new(sse.Event))
	if retry, ok := d.Retry(); !ok || retry < r.config.Retry || bytes.HasSuffix(last, []byte("\n\n")) {
		t.Errorf("the last line is %q, want a retry and no blank line", last)
	}
}

// A run of many events is pulled without an allocation.
func TestSubscriberNextAllocatesNothing(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 100)
	s := joinTopic(t, r, "t", start{})
	pull(s, 1<<20)
	from := s.topic.ring().Oldest()
	if n := testing.AllocsPerRun(100, func() {
		s.cursor = from
		for {
			if p, _ := s.Next(300); p == nil {
				return
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Subscribers are counted in millions.
func TestSubscriberIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(subscriber{}); size > 48 {
		t.Errorf("a subscriber takes %d bytes, want at most 48", size)
	}
}

// A client that is cut at any byte and comes back with its last id, as often as
// you like, sees every event once and in order, or a gap where the ring has
// forgotten some, whatever the room in its connection.
func TestSubscriberNeverSilent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := New(Config{Topics: Topics{Events: rapid.IntRange(1, 12).Draw(t, "events")}})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "no room to hold") {
			r.held.most = 0
		}
		topic, _ := r.topics.use("t", publishing)
		newest, seen := 0, 0 // numbers of events
		var d sse.Decoder
		var s *subscriber
		gapped := false
		connect := func() {
			if s != nil {
				s.Close(nil)
			}
			id := d.LastEventID()
			d.Reset(id)
			if id == "" { // cut before its first byte: it begins as new
				seen, gapped = newest, false
			}
			topic.join(id)
			who, _ := r.admission.subscriber("")
			s, _ = newSubscriber(topic, who, start{resume: id}, topic.seat(context.Background(), start{resume: id}))
			s.Start(0)
			r.topics.retain(topic)
		}
		deliver := func(p []byte) {
			d.Feed(p)
			for e := (sse.Event{}); d.Next(&e); {
				switch e.Type {
				case sse.TypeOpen:
				case sse.TypeGap:
					gapped = true
				default:
					n, err := strconv.Atoi(strings.TrimRight(string(e.Data), "."))
					if err != nil {
						t.Fatalf("event %q", e.Data)
					}
					oldest := newest - topic.ring().Len() + 1
					switch {
					case n == seen+1:
					case n <= seen:
						t.Fatalf("event %d after %d", n, seen)
					case !gapped:
						t.Fatalf("event %d after %d, and no gap between", n, seen)
					case seen+1 >= oldest:
						t.Fatalf("a gap between %d and %d, though %d is still here", seen, n, seen+1)
					}
					seen, gapped = n, false
				}
			}
		}
		connect()
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				for range rapid.IntRange(1, 6).Draw(t, "n") {
					newest++
					data := strconv.Itoa(newest) + strings.Repeat(".", rapid.IntRange(0, 40).Draw(t, "size"))
					e := sse.Event{Data: []byte(data)}
					switch rapid.IntRange(0, 2).Draw(t, "id") {
					case 1:
						e.ID = "own-" + strconv.Itoa(newest)
					case 2:
						e.ID = "own-" + strconv.Itoa(newest-1) // of the event before, perhaps
					}
					if _, err := r.Append(t.Context(), "t", e); err != nil {
						t.Fatal(err)
					}
				}
			},
			"read": func(t *rapid.T) {
				p, end := s.Next(rapid.IntRange(1, 100).Draw(t, "max"))
				deliver(p)
				if end {
					connect()
				}
			},
			"cut": func(t *rapid.T) {
				if p, _ := s.Next(rapid.IntRange(1, 100).Draw(t, "max")); len(p) > 0 {
					deliver(p[:rapid.IntRange(0, len(p)).Draw(t, "arrived")])
				}
				connect()
			},
			"heartbeat": func(t *rapid.T) { deliver(s.Heartbeat()) },
		})
		for range 3 { // a stream may end once for want of room, then resumes
			p, end := pull(s, 1<<20)
			deliver(p)
			if !end {
				break
			}
			connect()
		}
		if seen != newest {
			t.Fatalf("saw events to %d of %d", seen, newest)
		}
		s.Close(nil)
		if n := r.held.bytes.Load(); n != 0 {
			t.Fatalf("%d bytes are held for nobody", n)
		}
	})
}

func BenchmarkSubscriberNext(b *testing.B) {
	r := newTestRelay(b, Config{})
	publishNumbers(b, r, "t", 1, 1000)
	s := joinTopic(b, r, "t", start{})
	pull(s, 1<<20)
	from := s.topic.ring().Last(1)
	b.ReportAllocs()
	for b.Loop() {
		s.cursor = from
		s.Next(16 << 10)
	}
}
