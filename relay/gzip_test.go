package relay

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"freshet/origin/sse"
	"freshet/relay/netloop"
)

func TestPrefersGzip(t *testing.T) {
	for _, c := range []struct {
		want    bool
		accepts []string
	}{
		{false, nil},
		{false, []string{""}},
		{true, []string{"gzip"}},
		{true, []string{"gzip, deflate, br, zstd"}}, // Chromium
		{true, []string{"br", "GZIP;q=0.1"}},
		{true, []string{"x-gzip"}},
		{true, []string{"*"}},
		{true, []string{"identity;q=0.5, *;q=0.6"}},
		{true, []string{"gzip;q=1.0, identity;q=1"}},
		{false, []string{"gzip;q=0"}},
		{false, []string{"gzip;q=0.000, *"}},
		{false, []string{"*;q=0"}},
		{false, []string{"br, deflate"}},
		{false, []string{"identity, gzip;q=0.5"}},
		{false, []string{"gzip;q=x"}},
		{false, []string{"gzip;q=-1"}},
		{false, []string{"gzip;q=NaN"}},
		{false, []string{"gzipped"}},
	} {
		if got := prefersGzip(http.Header{"Accept-Encoding": c.accepts}); got != c.want {
			t.Errorf("%q: %v", c.accepts, got)
		}
	}
}

func TestTopicsCovered(t *testing.T) {
	for _, c := range []struct {
		pattern, topic string
		want           bool
	}{
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "a/b", true},
		{"a/*", "a/b/c", true},
		{"a/*", "a", false},
		{"*/private", "a/b/private", true},
		{"*/private", "a/private/b", false},
		{"a*b*c", "a-b-b-c", true},
		{"a*b*c", "a-c-b", false},
		{"ab*ba", "aba", false},
		{"a*b*b", "ab", false},
	} {
		if got := covers(c.pattern, c.topic); got != c.want {
			t.Errorf("%q for %q: %v", c.pattern, c.topic, got)
		}
	}
}

func TestTopicsExcepted(t *testing.T) {
	for _, c := range []struct {
		except []string
		topic  string
		want   bool
	}{
		{nil, "a", false},
		{[]string{"b", "a"}, "a", true},
		{[]string{"*", "!scores/*"}, "scores/42", false},
		{[]string{"*", "!scores/*"}, "account/42", true},
		{[]string{"*", "!scores/*", "*/private"}, "scores/42/private", true},
		{[]string{"!scores/*", "*"}, "scores/42", true},
	} {
		r := newTestRelay(t, Config{Compress: Compress{Except: c.except}})
		h := http.Header{"Accept-Encoding": {"gzip"}}
		if got := r.compresses(c.topic, h); got == c.want {
			t.Errorf("%q, except %q: compressed is %v", c.topic, c.except, got)
		}
	}
}

func TestCompressionThatCannotBe(t *testing.T) {
	for want, c := range map[string]Compress{
		"level is 12":     {Level: 12},
		"window is 99999": {Window: 99999},
		"memory is 5":     {Memory: 5},
		"except[1]":       {Except: []string{"a", ""}},
		"except[0]":       {Except: []string{"!"}},
	} {
		if _, err := New(Config{Compress: c}); err == nil || !strings.Contains(err.Error(), "relay: compress") || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestGzipHeaders(t *testing.T) {
	r := newTestRelay(t, Config{Compress: Compress{Except: []string{"account/*"}}})
	for _, c := range []struct{ topic, accepts, coding string }{
		{"scores", "gzip", "gzip"},
		{"scores", "br, gzip;q=0", ""},
		{"scores", "", ""},
		{"account/7", "gzip", ""},
	} {
		h := ask(r, "HEAD", "/events/"+c.topic, "", "Accept-Encoding", c.accepts).Header()
		if h.Get("Content-Encoding") != c.coding || !strings.Contains(strings.Join(h.Values("Vary"), ","), "Accept-Encoding") {
			t.Errorf("%s, accepting %q: %v", c.topic, c.accepts, h)
		}
	}
	off := newTestRelay(t, Config{Compress: Compress{Except: []string{"*"}}})
	if h := ask(off, "HEAD", "/events/scores", "", "Accept-Encoding", "gzip").Header(); h.Get("Content-Encoding") != "" {
		t.Errorf("compression is off, and yet: %v", h)
	}
}

// inflate decodes what a gzip stream has sent so far; ended says that its trailer is there.
func inflate(t interface{ Fatalf(string, ...any) }, p []byte) (text []byte, ended bool) {
	z, err := gzip.NewReader(bytes.NewReader(p))
	if err != nil {
		t.Fatalf("the header: %v", err)
	}
	text, err = io.ReadAll(z)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("after %d bytes: %v", len(text), err)
	}
	return text, err == nil
}

// follower pulls one stream, in one form.
type follower struct {
	next  func(max int) ([]byte, bool)
	close func(error)
	beat  func() []byte
	got   []byte
	over  bool
}

func (f *follower) pull(max, times int) {
	for ; times > 0 && !f.over; times-- {
		p, end := f.next(max)
		f.got = append(f.got, p...)
		if f.over = end; len(p) == 0 {
			return
		}
	}
}

// TestGzipSaysTheSame has two subscribers follow the same topic, one of them with gzip. At rest they have seen the
// same bytes, but for the jitter of their retry, the gaps of those who were lapped, and heartbeats.
func TestGzipSaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, err := New(Config{
			Topics:   Topics{Events: 40},
			Compress: Compress{Window: 512, Memory: 4 << 20},
		})
		if err != nil {
			t.Fatal(err)
		}
		if rapid.Bool().Draw(t, "no room to hold") {
			r.held.most = 0
		}
		topic, _ := r.topics.use("t", publishing)
		n := 0
		publish := func(k int) {
			for range k {
				n++
				data := fmt.Sprintf("%d %s", n, strings.Repeat("the ball is in ", rapid.IntRange(0, 60).Draw(t, "size")))
				if _, err := r.Append(t.Context(), "t", sse.Event{Type: "goal", Data: []byte(data)}); err != nil {
					t.Fatal(err)
				}
			}
		}
		publish(rapid.IntRange(0, 30).Draw(t, "before"))
		begin := start{from: fromLast, last: rapid.IntRange(0, 40).Draw(t, "last")}
		if ring := topic.ring(); rapid.Bool().Draw(t, "resume") {
			begin = start{resume: ring.ID(ring.Before(ring.Last(begin.last))), last: begin.last}
		}
		join := func() *address {
			r.topics.retain(topic)
			topic.join("")
			who, _ := r.admission.subscriber("")
			return who
		}
		plain, _ := newSubscriber(topic, join(), begin, topic.seat(context.Background(), begin))
		zipped, _ := newGzipSubscriber(topic, join(), begin, topic.seat(context.Background(), begin))
		all := []*follower{
			{next: plain.Next, close: plain.Close, beat: plain.Heartbeat},
			{next: zipped.Next, close: zipped.Close, beat: zipped.Heartbeat},
		}
		lapped := false
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) { publish(rapid.IntRange(1, 20).Draw(t, "n")) },
			"pull": func(t *rapid.T) {
				f := all[rapid.IntRange(0, 1).Draw(t, "who")]
				f.pull(rapid.IntRange(1, 3000).Draw(t, "max"), rapid.IntRange(1, 50).Draw(t, "times"))
			},
			"heartbeat": func(t *rapid.T) {
				f := all[1]
				f.got = append(f.got, f.beat()...)
			},
			"lose the forms": func(t *rapid.T) { topic.expire(topic.used) },
		})
		ending := rapid.Bool().Draw(t, "end")
		if ending {
			topic.end()
			topic.pace.Store(everyLot)
		}
		for _, f := range all {
			f.pull(1<<14, 1<<30)
		}
		text, trailer := inflate(t, all[1].got)
		torn := plain.reason == eventLost || zipped.reason == eventLost
		for _, b := range [][]byte{all[0].got, text} {
			lapped = lapped || strings.Contains(script(b), "gap")
		}
		if !torn && !lapped {
			if diff := cmp.Diff(script(all[0].got), script(text)); diff != "" {
				t.Fatalf("(-identity +gzip)\n%s", diff)
			}
		}
		if !torn && !strings.Contains(script(text), "gap") && trailer != ending {
			t.Fatalf("a trailer: %v; the end: %v", trailer, ending)
		}
		last := 0
		for _, e := range decode(text) {
			if k, _, ok := strings.Cut(string(e.Data), " "); ok && e.Type == "goal" {
				if i, err := strconv.Atoi(k); err != nil || i <= last {
					t.Fatalf("event %d after %d: %v", i, last, err)
				} else {
					last = i
				}
			}
		}
		if !torn && last != n && n > 0 && begin.last > 0 {
			t.Fatalf("the last event is %d, not %d", last, n)
		}
		for _, f := range all {
			f.close(nil)
		}
		if held, streams := r.held.bytes.Load(), r.metrics.gzip.streams.Load(); held != 0 || streams != 0 {
			t.Fatalf("%d bytes and %d streams are left", held, streams)
		}
	})
}

// What is sent was compressed before, or is sent as it is: event loops call Next, and never compress.
func TestGzipNextNeverCompresses(t *testing.T) {
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 3000)
	topic, _ := r.topics.use("t", subscribing)
	who, _ := r.admission.subscriber("192.0.2.1:1")
	topic.join("")
	s, _ := newGzipSubscriber(topic, who, start{from: fromOldest}, topic.seat(context.Background(), start{from: fromOldest}))
	before := r.deflater.Stats()
	f := &follower{next: s.Next}
	f.pull(1<<14, 1<<30)
	if after := r.deflater.Stats(); after != before {
		t.Errorf("compressed: %+v before, %+v after", before, after)
	}
	text, _ := inflate(t, f.got)
	if n := bytes.Count(text, []byte("data: ")); n != 3000 {
		t.Errorf("%d events came, not 3000", n)
	}
	s.Close(nil)
}

// joinGzip makes a live subscriber with gzip.
func joinGzip(t testing.TB, r *Relay, name string) *gzipSubscriber {
	t.Helper()
	topic, problem := r.topics.use(name, subscribing)
	if problem != nil {
		t.Fatal(problem)
	}
	who, _ := r.admission.subscriber("192.0.2.1:1")
	topic.join("")
	s, _ := newGzipSubscriber(topic, who, start{}, topic.seat(context.Background(), start{}))
	s.Start(0)
	return s
}

// decompress has the client ask for gzip by itself, and decode it.
func decompress(p protocol) {
	reflect.ValueOf(p.client.Transport).Elem().FieldByName("DisableCompression").SetBool(false)
}

// Over every protocol: events one by one, the end in order, and what Go's client makes of it without being told.
func TestGzipOverEveryProtocol(t *testing.T) {
	r := serveRelay(t, Config{})
	protocols := r.protocols(t)
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			decompress(p)
			topic := "gzip/" + p.name
			publishNumbers(t, r.Relay, topic, 1, 500)
			s := p.subscribe(t, "/events/"+topic+"?from=oldest")
			s.WantNumbers(1, 500)
			for i := 501; i <= 600; i++ {
				publishNumbers(t, r.Relay, topic, i, i)
				s.WantNumbers(i, i)
			}
			if err := r.End(t.Context(), topic); err != nil {
				t.Fatal(err)
			}
			s.WantType(sse.TypeEnd)
			s.WantEnd()
		})
	}
	loops := &r.metrics.delivered
	var shared, stored uint64
	each := uint64(len(protocols))
	for i := range loops {
		shared += loops[i].shared.Load()
		stored += loops[i].stored.Load()
	}
	if shared < each*450 || shared+stored != each*600 {
		t.Errorf("%d events were shared, %d stored, of %d", shared, stored, each*600)
	}
}

// A drained subscriber's gzip stream ends as it should.
func TestGzipDrained(t *testing.T) {
	r := serveRelay(t, Config{})
	p := r.protocols(t)[0]
	decompress(p)
	s := p.subscribe(t, "/events/t")
	publishNumbers(t, r.Relay, "t", 1, 3)
	s.WantNumbers(1, 3)
	r.shut(t)
	s.WantEnd()
	if !bytes.HasSuffix(s.tail, []byte("\n")) || !bytes.Contains(s.tail, []byte("retry: ")) {
		t.Errorf("the stream ends with %q", s.tail)
	}
}

// A subscriber with gzip takes no more memory than one without: both are of the
// same size class.
func TestGzipSubscriberIsSmall(t *testing.T) {
	const class = 48
	if size := unsafe.Sizeof(gzipSubscriber{}); size > class {
		t.Errorf("a gzipSubscriber has %d bytes, more than %d", size, class)
	}
}

// In step, with nothing private left, all that a subscriber with gzip holds is itself.
func TestGzipMemoryPerSubscriber(t *testing.T) {
	const many = 10_000
	r := newTestRelay(t, Config{})
	publishNumbers(t, r, "t", 1, 500)
	topic, _ := r.topics.use("t", subscribing)
	who, _ := r.admission.subscriber("192.0.2.1:1")
	last := start{from: fromLast, last: 300}
	heap := func() int {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what finalizers held
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	measure := func(join func() netloop.Body) float64 {
		warm := join() // makes what all share
		all := make([]netloop.Body, many)
		before := heap()
		for i := range all {
			all[i] = join()
			for {
				if p, _ := all[i].Next(1 << 14); p == nil {
					break
				}
			}
		}
		each := float64(heap()-before) / many
		runtime.KeepAlive(warm)
		runtime.KeepAlive(all)
		return each
	}
	plain := measure(func() netloop.Body {
		s, _ := newSubscriber(topic, who, last, topic.seat(context.Background(), last))
		return s
	})
	zipped := measure(func() netloop.Body {
		s, _ := newGzipSubscriber(topic, who, last, topic.seat(context.Background(), last))
		return s
	})
	t.Logf("%.1f bytes a subscriber, %.1f with gzip", plain, zipped)
	if zipped > plain*1.05 {
		t.Errorf("a subscriber with gzip holds %.1f bytes, one without %.1f", zipped, plain)
	}
}

func TestGzipNextAllocatesNothing(t *testing.T) {
	r := newTestRelay(t, Config{})
	s := joinGzip(t, r, "t")
	publishNumbers(t, r, "t", 1, 1000)
	for {
		if p, _ := s.Next(1 << 14); p == nil {
			break
		}
	}
	from := s.topic.ring().Last(10)
	if n := testing.AllocsPerRun(100, func() {
		s.cursor = from
		s.Next(1 << 14)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	s.Close(nil)
}

// BenchmarkGzipSubscriberNext beside BenchmarkSubscriberNext: what a delivery costs before the socket.
func BenchmarkGzipSubscriberNext(b *testing.B) {
	r := newTestRelay(b, Config{})
	s := joinGzip(b, r, "t")
	publishNumbers(b, r, "t", 1, 1000)
	for {
		if p, _ := s.Next(1 << 14); p == nil {
			break
		}
	}
	from := s.topic.ring().Last(1)
	b.ReportAllocs()
	for b.Loop() {
		s.cursor = from
		s.Next(16 << 10)
	}
	b.StopTimer()
	s.Close(nil)
}
