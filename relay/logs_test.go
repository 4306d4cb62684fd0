package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"freshet/origin/sse"
	"freshet/relay/netloop"
	"freshet/ringbuf"
)

// fakeLogs is what the other relays would say and do.
type fakeLogs struct {
	open    map[string]int
	opens   chan string // what was opened
	trimmed map[string]uint64
	resume  func(topic, id string) (Route, error)
	commit  error
}

func newFakeLogs() *fakeLogs {
	return &fakeLogs{opens: make(chan string, 100), open: map[string]int{}, trimmed: map[string]uint64{}}
}

func (f *fakeLogs) Open(topic string)                 { f.open[topic]++; f.opens <- topic }
func (f *fakeLogs) Close(topic string)                { f.open[topic]-- }
func (f *fakeLogs) Trim(topic string, upTo uint64)    { f.trimmed[topic] = upTo }
func (f *fakeLogs) End(context.Context, string) error { return nil }
func (f *fakeLogs) Commit(_ context.Context, _, _ string, _ uint64, e []ringbuf.Entry) (string, uint64, int, error) {
	return "1-1", uint64(len(e)), len(e), f.commit
}

func (f *fakeLogs) Resume(_ context.Context, topic, id string, use func(Route)) error {
	if f.resume == nil {
		return errors.New("nobody knows")
	}
	r, err := f.resume(topic, id)
	if err == nil {
		use(r)
	}
	return err
}

// at is an entry that says where it stands.
func at(epoch, seq uint64, text string) Placed {
	return Placed{
		At:    ringbuf.Position{Epoch: epoch, Seq: seq},
		Entry: ringbuf.Entry{Body: []byte("data: " + text + "\n"), Commit: time.Now()},
	}
}

// transcript is the events of a stream as "id text", without those of the relay.
func transcript(stream []byte) (lines []string) {
	for _, e := range decode(stream) {
		if !e.Control() {
			lines = append(lines, e.ID+" "+string(e.Data))
		}
	}
	return lines
}

func TestLogsAreWaitedFor(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	stream := make(chan string, 1)
	go func() {
		w := ask(r, "GET", "/events/t?from=oldest", "")
		stream <- w.Body.String()
	}()
	<-logs.opens // the request is under way
	r.LogShow("t", []Placed{at(7, 3, "three"), at(7, 4, "four")})
	select {
	case s := <-stream:
		t.Fatalf("answered before the log was whole: %q", s)
	default:
	}
	r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 4})
	r.leave()
	r.pace.Store(everyLot)
	r.topics.wake()
	want := []string{"7-3 three", "7-4 four"}
	if s := <-stream; !cmp.Equal(want, transcript([]byte(s))) {
		t.Errorf("got %q", s)
	}
}

// A topic's log goes when nobody follows it any more; whoever came meanwhile is
// served from the next.
func TestLogForget(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	r.LogShow("t", []Placed{at(7, 1, "one")})
	r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 1})
	s := joinTopic(t, r, "t", start{from: fromOldest})
	if logs.open["t"] != 1 {
		t.Errorf("opened %d times for one subscriber", logs.open["t"])
	}
	got, _ := pull(s, 1000)
	r.LogForget("t")
	r.LogShow("t", []Placed{at(7, 1, "one"), at(8, 2, "two")})
	r.LogOpened("t", ringbuf.Position{Epoch: 8, Seq: 2})
	more, _ := pull(s, 1000)
	want := []string{"7-1 one", "8-2 two"}
	if d := cmp.Diff(want, transcript(append(got, more...))); d != "" {
		t.Error(d)
	}
	s.Close(nil)
	if logs.open["t"] != 0 {
		t.Error("still open without a subscriber")
	}
	r.LogForget("t")
	if n := r.topics.len(); n != 0 {
		t.Errorf("%d topics are left", n)
	}
	if m := r.topics.memory.Load(); m != 0 {
		t.Errorf("%d bytes are left", m)
	}
}

func TestLogsEnd(t *testing.T) {
	r := newTestRelay(t, Config{Logs: newFakeLogs()})
	r.LogShow("t", []Placed{at(7, 1, "one")})
	r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 1})
	s := joinTopic(t, r, "t", start{})
	body, err := sse.Event{Type: sse.TypeEnd, Data: []byte(`{"topic":"t"}`)}.AppendBody(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.LogShow("t", []Placed{{At: ringbuf.Position{Epoch: 7, Seq: 2}, Entry: ringbuf.Entry{Body: body}, End: true}})
	w := make(signal, 1)
	defer s.topic.audience.listen(w)()
	stream, over := pull(s, 1000)
	for !over { // its lot comes
		<-w
		var more []byte
		more, over = pull(s, 1000)
		stream = append(stream, more...)
	}
	if n := strings.Count(string(stream), "freshet.end"); n != 1 {
		t.Errorf("%d ends in %q", n, stream)
	}
	if w := ask(r, "GET", "/events/t", ""); w.Code != http.StatusNoContent {
		t.Errorf("a new subscriber gets %d", w.Code)
	}
	if w := ask(r, "GET", "/events/t", "", "Last-Event-ID", "7-2"); w.Code != http.StatusNoContent {
		t.Errorf("one who saw the end gets %d", w.Code)
	}
	if w := ask(r, "GET", "/events/t", "", "Last-Event-ID", "7-1"); w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "freshet.end") {
		t.Errorf("one who saw it not gets %d %q", w.Code, w.Body)
	}
}

func TestLogsResume(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	r.LogShow("t", []Placed{at(7, 1, "one"), at(7, 2, "two"), at(9, 3, "three")})
	r.LogOpened("t", ringbuf.Position{Epoch: 9, Seq: 3})
	for _, c := range []struct {
		id    string
		route Route
		fails bool
		want  string
	}{
		{id: "7-2", fails: true, want: "open 2\nthree\n"}, // known here
		{id: "goal", route: Route{Found: ringbuf.Known, After: 1}, want: "open goal\ntwo\nthree\n"},
		{id: "8-7", route: Route{Found: ringbuf.Known, After: 2}, want: "open 7\nthree\n"},
		{id: "x", route: Route{Found: ringbuf.Unknown}, want: "open x\ngap unknown\none\ntwo\nthree\n"},
		{id: "x", route: Route{Found: ringbuf.Evicted}, want: "open x\ngap evicted\none\ntwo\nthree\n"},
		{id: "x", fails: true, want: "open x\ngap unknown\none\ntwo\nthree\n"},
	} {
		logs.resume = func(_, id string) (Route, error) {
			if c.fails || id != c.id {
				return Route{}, errors.New("not to be asked")
			}
			return c.route, nil
		}
		s := joinTopic(t, r, "t", start{resume: c.id})
		stream, _ := pull(s, 1000)
		if d := cmp.Diff(c.want, script(stream)); d != "" {
			t.Errorf("resume from %s: %s", c.id, d)
		}
		s.Close(nil)
	}
}

// Where memory is short, those who agree on the log are told what is gone.
func TestLogsTrim(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs, Topics: Topics{Bytes: 128 << 10}, Limits: Limits{Memory: 128 << 10}})
	for seq := uint64(1); seq <= 200; seq++ {
		r.LogShow("t", []Placed{at(7, seq, strings.Repeat("x", 1000))})
		if seq == 1 {
			r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 1})
		}
	}
	oldest := r.topics.kept("t").ring().Oldest().Seq()
	if oldest == 0 || logs.trimmed["t"] != oldest {
		t.Errorf("the log begins after %d, and others were told %d", oldest, logs.trimmed["t"])
	}
}

func TestLogsRefuse(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	logs.commit = &refusal{http.StatusConflict}
	for _, c := range []struct{ target, header, field string }{
		{"/events/t", "k", "Idempotency-Key"},
		{"/events/t?id=goal", "", "id"},
	} {
		w := ask(r, "POST", c.target, "x", "Idempotency-Key", c.header)
		if w.Code != http.StatusConflict || !strings.Contains(w.Body.String(), `"field":"`+c.field+`"`) {
			t.Errorf("%s %q: %d %s", c.target, c.header, w.Code, w.Body)
		}
	}
}

type refusal struct{ status int }

func (e *refusal) Error() string   { return "refused" }
func (e *refusal) HTTPStatus() int { return e.status }

// fork is a log of which one branch was lost: this relay's.
type fork struct {
	common, lost, won int
	merged            []int // of the lost events, in the order in which they were merged after the won ones; each once
}

// canon is the log that survived.
func (f fork) canon() (base ringbuf.Position, entries []Placed) {
	for i := range f.common {
		entries = append(entries, at(1, uint64(i+1), fmt.Sprint("c", i)))
	}
	for i := range f.won {
		entries = append(entries, at(3, uint64(f.common+i+1), fmt.Sprint("w", i)))
	}
	for i, l := range f.merged {
		entries = append(entries, at(3, uint64(f.common+f.won+i+1), fmt.Sprint("l", l)))
	}
	return ringbuf.Position{Epoch: 1}, entries
}

// route is how one goes on who is on the lost branch, or came from it.
func (f fork) route(p ringbuf.Place) Route {
	r := Route{Found: ringbuf.Known, After: p.At.Seq, Lost: p.Lost}
	if p.At.Epoch == 2 {
		r.After, r.Lost = uint64(f.common), p.At
	}
	if r.Lost == (ringbuf.Position{}) {
		return r
	}
	for i, l := range f.merged {
		if seq := uint64(f.common + f.won + i + 1); seq > r.After && uint64(f.common+l+1) <= r.Lost.Seq {
			r.Skip = append(r.Skip, seq)
		}
	}
	if len(r.Skip) == 0 {
		r.Lost = ringbuf.Position{}
	}
	return r
}

// Whoever was on the branch that was lost gets what came on the other, and of
// its own branch what it had not seen: nothing twice, nothing never, whatever
// it had, and even if it is cut off at any place and comes back with its last
// id.
func TestTakesTheTurn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := fork{
			common: rapid.IntRange(0, 4).Draw(t, "common"), lost: rapid.IntRange(0, 5).Draw(t, "lost"), won: rapid.IntRange(0, 4).Draw(t, "won"),
		}
		for l := range f.lost {
			f.merged = append(f.merged, l)
		}
		f.merged = rapid.Permutation(f.merged).Draw(t, "merged")
		zipped := rapid.Bool().Draw(t, "gzip")
		logs := newFakeLogs()
		logs.resume = func(_, id string) (Route, error) {
			p, err := ringbuf.ParsePlace(id)
			return f.route(p), err
		}
		r, err := New(Config{Logs: logs})
		if err != nil {
			t.Fatal(err)
		}
		base, entries := f.canon()
		branch := slices.Clone(entries[:f.common])
		for l := range f.lost {
			branch = append(branch, at(2, uint64(f.common+l+1), fmt.Sprint("l", l)))
		}
		r.LogOpened("t", base)
		if len(branch) > 0 {
			r.LogShow("t", branch)
		}
		s := reader(t, r, start{from: fromOldest}, zipped)
		reads := rapid.IntRange(0, f.common+f.lost).Draw(t, "reads")
		var seen []string
		id := ""
		read := func(most int) {
			for range most {
				e, ok := s.event()
				if !ok {
					return
				}
				seen, id = append(seen, string(e.Data)), e.ID
			}
		}
		read(reads)
		lines := rapid.IntRange(0, 12).Draw(t, "cut off after")
		r.LogReplace("t", Replacement{Base: base, Entries: entries, Route: f.route})
		read(lines)
		if id != "" && rapid.Bool().Draw(t, "cut off") {
			s.body.Close(nil)
			s = reader(t, r, start{resume: id}, zipped)
		}
		read(100)
		n := uint64(len(entries) + 1)
		r.LogShow("t", []Placed{at(4, n, "after")})
		read(100)
		if want := ringbuf.Position.String(ringbuf.Position{Epoch: 4, Seq: n}); id != want {
			t.Errorf("after the catch-up an event has the id %s, want %s", id, want)
		}

		want := map[string]bool{"after": true}
		for _, e := range slices.Concat(branch[:min(reads, len(branch))], entries) {
			want[strings.TrimSpace(strings.TrimPrefix(string(e.Body), "data:"))] = true
		}
		got := map[string]bool{}
		for _, text := range seen {
			if got[text] {
				t.Errorf("%s came twice: %v", text, seen)
			}
			got[text] = true
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("saw %v: %s", seen, d)
		}
		s.body.Close(nil)
		if r.topics.kept("t").catchups.any() {
			t.Error("a catch-up is left")
		}
	})
}

// Who came from a branch that is merged later is told what it has seen as it
// finds its places.
func TestLogMerged(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	r.LogShow("t", []Placed{at(1, 1, "c"), at(3, 2, "w")})
	r.LogOpened("t", ringbuf.Position{Epoch: 3, Seq: 2})
	lost := ringbuf.Position{Epoch: 2, Seq: 3} // l0 and l1 were seen
	logs.resume = func(string, string) (Route, error) {
		return Route{Found: ringbuf.Known, After: 1, Lost: lost, Missing: true}, nil
	}
	hopper := joinTopic(t, r, "t", start{resume: "2-3"})
	other := joinTopic(t, r, "t", start{})
	var got, rest []byte
	read := func() {
		p, _ := pull(hopper, 1000)
		q, _ := pull(other, 1000)
		got, rest = append(got, p...), append(rest, q...)
	}
	read()
	r.LogMerged("t", func(p ringbuf.Place) Route {
		if want := (ringbuf.Place{At: ringbuf.Position{Epoch: 3, Seq: 2}, Lost: lost}); p != want {
			t.Errorf("asked for the way from %s, want %s", p, want)
		}
		return Route{Found: ringbuf.Known, After: 2, Skip: []uint64{3, 5}, Lost: lost}
	})
	r.LogShow("t", []Placed{at(3, 3, "l0"), at(3, 4, "x"), at(3, 5, "l1"), at(3, 6, "y")})
	read()
	if d := cmp.Diff([]string{"3-2~2-3 w", "3-4~2-3 x", "3-6 y"}, transcript(got)); d != "" {
		t.Errorf("the one who had seen them: %s", d)
	}
	if d := cmp.Diff([]string{"3-3 l0", "3-4 x", "3-5 l1", "3-6 y"}, transcript(rest)); d != "" {
		t.Errorf("one who had not: %s", d)
	}
	hopper.Close(nil)
	if hopper.topic.catchups.any() {
		t.Error("a catch-up is left")
	}
}

// Who stood still through more turns than are remembered is told so.
func TestTurnsAreForgotten(t *testing.T) {
	r := newTestRelay(t, Config{Logs: newFakeLogs()})
	r.LogOpened("t", ringbuf.Position{Epoch: 1})
	for _, c := range []struct {
		turns int
		want  string
	}{{keepTurns, "still\n"}, {keepTurns + 1, "gap unknown\nstill\n"}} {
		s := joinTopic(t, r, "t", start{})
		pull(s, 1000)
		for range c.turns {
			r.LogReplace("t", Replacement{Base: ringbuf.Position{Epoch: 1}, Entries: []Placed{at(2, 1, "still")}, Route: func(p ringbuf.Place) Route {
				return Route{Found: ringbuf.Known}
			}})
		}
		if got, _ := pull(s, 1000); script(got) != c.want {
			t.Errorf("after %d turns: %q", c.turns, got)
		}
		s.Close(nil)
	}
}

// streamReader reads a subscriber's stream event by event.
type streamReader struct {
	body    netloop.Body
	decoder sse.Decoder
	text    func(p []byte) []byte
}

func reader(t *rapid.T, r *Relay, from start, zipped bool) *streamReader {
	topic, problem := r.topics.use("t", subscribing)
	if problem != nil {
		t.Fatal(problem)
	}
	who, _ := r.admission.subscriber("192.0.2.1:1")
	topic.join(from.resume)
	at := topic.seat(context.Background(), from)
	s := &streamReader{text: func(p []byte) []byte { return p }}
	if zipped {
		s.body, _ = newGzipSubscriber(topic, who, from, at)
		s.text = inflater()
	} else {
		s.body, _ = newSubscriber(topic, who, from, at)
	}
	s.body.Start(0)
	return s
}

// inflater decodes a gzip stream as it comes.
func inflater() func(p []byte) []byte {
	var all []byte
	done := 0
	return func(p []byte) []byte {
		all = append(all, p...)
		z, err := gzip.NewReader(bytes.NewReader(all))
		if err != nil {
			return nil
		}
		text, _ := io.ReadAll(z) // it ends where the stream does until now
		fresh := text[done:]
		done = len(text)
		return fresh
	}
}

// event returns the next event that is not the relay's own; false: there is none now.
func (s *streamReader) event() (sse.Event, bool) {
	for e := (sse.Event{}); ; {
		for s.decoder.Next(&e) {
			if !e.Control() {
				return e.Clone(), true
			}
		}
		p, end := s.body.Next(64)
		if s.decoder.Feed(s.text(p)); len(p) == 0 || end {
			return sse.Event{}, false
		}
	}
}

// A side of a partition that nothing was published on opened the topic in an
// epoch of its own: what the other side has stands where that side says.
func TestLogOpenedInAnEpochThatIsNone(t *testing.T) {
	r := newTestRelay(t, Config{Logs: newFakeLogs()})
	r.LogOpened("t", ringbuf.Position{Epoch: 9})
	s := joinTopic(t, r, "t", start{})
	pull(s, 1000)
	r.LogShow("t", []Placed{at(7, 1, "one"), at(7, 2, "two")})
	got, _ := pull(s, 1000)
	if d := cmp.Diff([]string{"7-1 one", "7-2 two"}, transcript(got)); d != "" {
		t.Error(d)
	}
	s.Close(nil)
}

// A heal brings what came after the end: the topic goes on, for new subscribers
// too.
func TestEndUndone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newTestRelay(t, Config{Logs: newFakeLogs(), Drain: 30 * time.Second})
		r.LogShow("t", []Placed{at(7, 1, "one")})
		r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 1})
		for range 5000 { // so that letting them go takes five seconds
			joinTopic(t, r, "t", start{})
		}
		end := at(7, 2, "end")
		end.End = true
		r.LogShow("t", []Placed{end})
		time.Sleep(time.Second)
		r.LogShow("t", []Placed{at(7, 3, "three")})
		time.Sleep(time.Minute)
		s := joinTopic(t, r, "t", start{resume: "7-2"})
		if got, over := pull(s, 1000); over || script(got) != "open 2\nthree\n" {
			t.Errorf("over %t, got %q", over, got)
		}
	})
}

// Merges are for those who are catching up: to others, who may stand still
// meanwhile, any number of them is nothing.
func TestManyMerges(t *testing.T) {
	logs := newFakeLogs()
	r := newTestRelay(t, Config{Logs: logs})
	r.LogShow("t", []Placed{at(7, 1, "one"), at(7, 2, "two")})
	r.LogOpened("t", ringbuf.Position{Epoch: 7, Seq: 2})
	logs.resume = func(string, string) (Route, error) {
		return Route{Found: ringbuf.Known, After: 1, Lost: ringbuf.Position{Epoch: 5, Seq: 9}, Missing: true}, nil
	}
	hopper := joinTopic(t, r, "t", start{resume: "5-9"})
	other := joinTopic(t, r, "t", start{from: fromOldest})
	got, _ := pull(other, 1000)
	const merges = keepTurns + 1
	for i := range uint64(merges) {
		r.LogMerged("t", func(p ringbuf.Place) Route {
			return Route{Found: ringbuf.Known, After: p.At.Seq, Lost: p.Lost, Missing: p.Lost != ringbuf.Position{}}
		})
		r.LogShow("t", []Placed{at(7, 3+i, "new")})
		pull(hopper, 1000)
	}
	rest, _ := pull(other, 10000)
	got = append(got, rest...)
	if n := len(transcript(got)); n != merges+2 || strings.Contains(string(got), "freshet.gap") {
		t.Errorf("%d events of %d: %q", n, merges+2, got)
	}
	hopper.Close(nil)
}
