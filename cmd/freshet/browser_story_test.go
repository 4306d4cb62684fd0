package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/google/go-cmp/cmp"

	"freshet/origin/sse"
)

// What a browser makes of a stream it shall make of it behind a relay, too: WHATWG HTML,
// section 9.2.5 and 9.2.6, case by case. Each stream is served to Chromium by an origin, and by a
// relay that pulls that origin. Type and data must be the same for every event; the last
// event id where the event carried one that is usable and new.
//
// A stream is followed by an event that says it is over, on the same connection unless the
// case begins with "cut ".
var browserStreams = []struct{ name, bytes string }{
	// From the standard's own examples.
	{"example stocks", "data: YHOO\ndata: +2\ndata: 10\n\n"},
	{"example ids", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"},
	{"example empty", "data\n\ndata\ndata\n\ndata:"},
	{"example space", "data:test\n\ndata: test\n\n"},
	{"example types", "event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\nevent: add\ndata: 113411\n\n"},

	// Line ends.
	{"lf", "id: 1\ndata: a\n\nid: 2\ndata: b\n\n"},
	{"cr", "id: 1\rdata: a\r\rid: 2\rdata: b\r\r"},
	{"crlf", "id: 1\r\ndata: a\r\n\r\nid: 2\r\ndata: b\r\n\r\n"},
	{"mixed", "data: a\r\ndata: b\rdata: c\ndata: d\r\n\rdata: e\n\r\ndata: f\r\r\ndata: g\n\n"},
	{"lf cr", "data: a\n\rdata: b\n\r"},
	{"many blank lines", "\n\n\r\n\r\r\ndata: a\n\n\n\n\r\r\ndata: b\n\n"},

	// Byte order marks.
	{"bom", "\ufeffdata: a\n\n"},
	{"two boms", "\ufeff\ufeffdata: a\n\ndata: b\n\n"},
	{"bom later", "data: a\n\n\ufeffdata: b\n\ndata: \ufeffc\n\n"},
	{"bom alone", "\ufeff\ndata: a\n\n"},
	{"half a bom", "\xef\xbbdata: a\n\ndata: b\n\n"},

	// Data.
	{"empty data", "data:\n\ndata: \n\ndata\n\n"},
	{"no data", "event: goal\nid: 1\n\ndata: a\n\n"},
	{"empty lines of data", "data:\ndata: a\ndata:\ndata:\n\n"},
	{"blanks", "data:  two\ndata:\ttab\ndata: trailing \ndata:  \n\n"},
	{"colons", "data: a: b::\ndata::\n\n:data: no\n\n"},
	{"nul in data", "data: a\x00b\n\n"},
	{"controls in data", "data: \x01\x02\x0b\x0c\x1b\x7f\u0080\u0085\u2028\u2029\n\n"},
	{"characters", "data: Müller 数 😀 e\u0301 \U0010ffff\n\n"},
	{"large", "id: large\ndata: " + strings.Repeat("0123456789", 20_000) + "\n\n"},
	{"many lines", strings.Repeat("data: line\n", 5000) + "\n"},
	{"json", "data: {\ndata: \"msg\": \"hello\",\ndata: \"id\": 12345\ndata: }\n\n"},
	{"html", "data: <script>alert(1)</script>&amp;\n\n"},

	// Invalid UTF-8 (Encoding Standard, UTF-8 decoder): one U+FFFD each maximal part.
	{"invalid bytes", "data: a\xffb\xfec\x80d\n\n"},
	{"cut characters", "data: \xe2\x82 \xf0\x9f\x98 \xc3\n\n"},
	{"overlong", "data: \xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf\n\n"},
	{"surrogates", "data: \xed\xa0\x80 \xed\xb0\x80\n\n"},
	{"beyond unicode", "data: \xf4\x90\x80\x80 \xf8\x88\x80\x80\x80\n\n"},
	{"invalid type", "event: go\xffal\ndata: a\n\n"},
	{"invalid id", "id: a\xff\ndata: a\n\n"},
	{"character across a line end", "data: a\xe2\x82\n\xac\ndata: b\n\n"},

	// Types.
	{"type", "event: goal\ndata: a\n\ndata: b\n\n"},
	{"two types", "event: goal\nevent: add\ndata: a\n\n"},
	{"empty type", "event:\ndata: a\n\nevent: goal\nevent\ndata: b\n\n"},
	{"message", "event: message\ndata: a\n\n"},
	{"type case", "event: Goal\ndata: a\n\nEvent: goal\ndata: b\n\n"},
	{"type with blanks", "event:  goal \ndata: a\n\n"},
	{"type with nul", "event: go\x00al\ndata: a\n\n"},
	{"type of the browser's", "event: error\ndata: a\n\nevent: open\ndata: b\n\n"},
	{"type without data", "event: goal\n\ndata: a\n\n"},
	{"type that is not ascii", "event: müller\ndata: a\n\n"},

	// Ids.
	{"ids", "id: 1\ndata: a\n\nid: x-2\ndata: b\n\nid:3\ndata: c\n\n"},
	{"id before and after", "id: 1\ndata: a\n\ndata: b\nid: 2\n\n"},
	{"two ids", "id: 1\nid: 2\ndata: a\n\n"},
	{"id without data", "id: 1\n\ndata: a\n\nid: 2\n\nid: 3\ndata: b\n\n"},
	{"id that stays", "id: 1\ndata: a\n\ndata: b\n\ndata: c\n\n"},
	{"id that is emptied", "id: 1\ndata: a\n\nid:\ndata: b\n\nid\ndata: c\n\n"},
	{"id with nul", "id: 1\ndata: a\n\nid: 2\x003\ndata: b\n\nid: 4\ndata: c\n\n"},
	{"id with blanks", "id:  1\ndata: a\n\nid: 2 \ndata: b\n\nid: 3 4\ndata: c\n\n"},
	{"id that is not ascii", "id: müller-数\ndata: a\n\n"},
	{"id repeated", "id: 1\ndata: a\n\nid: 1\ndata: b\n\nid: 1\ndata: b\n\nid: 2\ndata: c\n\n"},
	{"id too long", "id: " + strings.Repeat("x", 257) + "\ndata: a\n\nid: " + strings.Repeat("y", 256) + "\ndata: b\n\n"},
	{"id with controls", "id: a\tb\ndata: a\n\nid: \x01\ndata: b\n\n"},
	{"id like a position", "id: 1-1\ndata: a\n\nid: 1526919030474-55\ndata: b\n\n"},

	// All else.
	{"comments", ":\n:comment\n: data: no\ndata: a\n:\ndata: b\n\n:\n\n"},
	{"unknown fields", "foo: bar\ndata: a\nDATA: b\nda ta: c\n data: d\ndatax: e\n\nbar\n\n"},
	{"field without colon", "data\nid\nevent\nretry\nfoo\n\n"},
	{"retry", "retry: 10\ndata: a\n\nretry: x1\ndata: b\n\nretry: -1\ndata: c\n\nretry:\ndata: d\n\nretry: 100000\n\nretry: 1e3\ndata: e\n\n"},
	{"extensions", "topic: other\nkey: k\nid: 1\ndata: a\n\nkey: k\n\n"},
	{"nul before all", "\x00data: a\n\ndata: b\n\n"},
	{"nothing", ""},
	{"only comments", ":\n\n:\n\n"},

	// Cut, and gone on with.
	{"cut in an event", "retry: 50\nid: 1\ndata: a\n\nid: 2\ndata: b\n"},
	{"cut after an event", "retry: 50\nid: 1\ndata: a\n\nevent: goal\nid: 2\ndata: b\n\n"},
	{"cut in a character", "retry: 50\nid: 1\ndata: a\n\ndata: \xf0\x9f"},
	{"cut in a crlf", "retry: 50\r\nid: 1\r\ndata: a\r\n\r\nid: 2\r\ndata: b\r\n\r"},
}

// byTheStandard is what a stream means where Chromium errs. A line end right behind the byte order
// mark it takes for a part of the next line.
var byTheStandard = map[string][]seenEvent{
	"bom alone": {{Type: "message", Data: "a"}, {Type: "over"}},
}

const streamOver = "\n\nevent: over\ndata:\n\n"

// seenEvent is an event as a page gets it.
type seenEvent struct {
	Type, Data, LastEventID string
}

const browserPage = `<!doctype html><meta charset="utf-8"><title>streams</title><script>
const types = ["message", "goal", "add", "remove", "Goal", "goal ", " goal ", "go\u0000al", "go\ufffdal", "müller", "open", "error", "over", "other"];
const seen = {};
let opened = 0;
function watch(name, url) {
	const events = seen[name] = [];
	const source = new EventSource(url);
	let counted = false;
	source.onopen = e => { if (!(e instanceof MessageEvent) && !counted) { counted = true; opened++; } };
	for (const type of types) source.addEventListener(type, e => {
		if (!(e instanceof MessageEvent)) return; // the connection's own open and error
		events.push({Type: e.type, Data: e.data, LastEventID: e.lastEventId});
		if (e.type === "over") source.close();
	});
}
const over = () => Object.values(seen).filter(events => events.some(e => e.Type === "over")).length;
</script>`

// streamOrigin serves the streams, by number, when it is told to go.
type streamOrigin struct {
	going chan struct{}

	mu    sync.Mutex
	asked map[string]int // by who asks for which
}

func (o *streamOrigin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/streams/"))
	if err != nil {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, browserPage)
		return
	}
	o.mu.Lock()
	who := fmt.Sprint(r.UserAgent(), " ", number)
	o.asked[who]++
	again := o.asked[who] > 1
	o.mu.Unlock()

	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	send := func(p string) {
		// In two parts, whose border is anywhere.
		half := (number * 7) % (len(p) + 1)
		for _, part := range []string{p[:half], p[half:]} {
			_, _ = w.Write([]byte(part))
			_ = out.Flush()
		}
	}
	_ = out.Flush()
	select {
	case <-o.going:
	case <-r.Context().Done():
		return
	}
	stream := browserStreams[number]
	cut := strings.HasPrefix(stream.name, "cut ")
	switch {
	case again:
		send(streamOver)
	case cut:
		send(stream.bytes)
		return
	default:
		send(stream.bytes + streamOver)
	}
	<-r.Context().Done()
}

func TestStoryBrowser(t *testing.T) {
	t.Parallel()
	ctx := openBrowser(t)
	o := &streamOrigin{going: make(chan struct{}), asked: map[string]int{}}
	plain := httptest.NewServer(o) // for the relay
	t.Cleanup(plain.Close)
	secure := httptest.NewUnstartedServer(o) // for the browser: over HTTP/1.1 it opens six streams at most
	secure.EnableHTTP2 = true
	secure.StartTLS()
	t.Cleanup(secure.Close)
	relay := startRelay(t, "-plain", "off", "-feed", plain.URL+"/streams/{topic}=*")

	var script strings.Builder
	for i := range browserStreams {
		fmt.Fprintf(&script, "watch('origin %d', '/streams/%d');", i, i)
		fmt.Fprintf(&script, "watch('relay %d', '%s/events/%d');", i, relay.url("public"), i)
	}
	if err := chromedp.Do(ctx, chromedp.Navigate(secure.URL+"/")); err != nil {
		t.Fatal(err)
	}
	evaluate(t, ctx, script.String()+"0")
	await(t, ctx, "opened", 2*len(browserStreams))
	close(o.going)
	await(t, ctx, "over()", 2*len(browserStreams))

	result, err := chromedp.Run(ctx, chromedp.Evaluate[string]("JSON.stringify(seen)"))
	if err != nil {
		t.Fatal(err)
	}
	var seen map[string][]seenEvent
	if err := json.Unmarshal([]byte(result), &seen); err != nil {
		t.Fatal(err)
	}
	compared, withID := 0, 0
	for i, stream := range browserStreams {
		direct, relayed := seen[fmt.Sprint("origin ", i)], seen[fmt.Sprint("relay ", i)]
		if meant, ok := byTheStandard[stream.name]; ok {
			direct = meant
		}
		ids := carriedIDs(stream.bytes)
		for k := range direct {
			if k >= len(ids) || ids[k] == "" {
				direct[k].LastEventID = ""
				if k < len(relayed) {
					relayed[k].LastEventID = ""
				}
				continue
			}
			if direct[k].LastEventID != ids[k] {
				t.Errorf("%s: event %d: the browser has id %q from the origin, this test thinks %q", stream.name, k, direct[k].LastEventID, ids[k])
			}
			withID++
		}
		compared += len(direct)
		if diff := cmp.Diff(direct, relayed); diff != "" {
			t.Errorf("%s (-origin +relay):\n%.2000s", stream.name, diff)
		}
	}
	t.Logf("%d streams, %d events, %d of them with an id of the origin's", len(browserStreams), compared, withID)
	if withID < 20 {
		t.Errorf("only %d ids were compared", withID)
	}
}

// carriedIDs returns for each event of a stream the id that it carried, if that is usable and no
// event before had it; else "".
func carriedIDs(stream string) (ids []string) {
	var d sse.Decoder
	d.Feed([]byte(stream))
	had := make(map[string]bool)
	var e sse.Event
	for d.Next(&e) {
		id := e.ID
		if !sse.UsableID(id) || had[id] {
			id = ""
		}
		had[e.ID] = true
		ids = append(ids, id)
	}
	return ids
}

func evaluate(t *testing.T, ctx context.Context, script string) int {
	t.Helper()
	n, err := chromedp.Run(ctx, chromedp.Evaluate[int](script))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// await asks the page until the expression has the value.
func await(t *testing.T, ctx context.Context, expression string, want int) {
	t.Helper()
	patience := time.After(15 * time.Second)
	for {
		n := evaluate(t, ctx, expression)
		if n == want {
			return
		}
		select {
		case <-patience:
			missing, _ := chromedp.Run(ctx, chromedp.Evaluate[string]("JSON.stringify(Object.entries(seen).filter(([k, v]) => !v.some(e => e.Type === 'over')).map(([k]) => k))"))
			t.Fatalf("%s is %d, not %d; without an end: %s", expression, n, want, missing)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// openBrowser starts a headless Chromium with one tab, or skips where there is none. What more says goes over the usual flags.
func openBrowser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium on this machine")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.Headless, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("ignore-certificate-errors", true),
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, append(options, more...)...)
	t.Cleanup(stop)
	ctx, stop = chromedp.NewContext(ctx)
	t.Cleanup(func() {
		if chromedp.FromContext(ctx).Browser == nil {
			return // a test that failed before it looked; stop would wait for ever
		}
		chromedp.Cancel(ctx) // waits until Chromium is gone
		stop()
	})
	return ctx
}
