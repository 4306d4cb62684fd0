package origin

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"freshet/origin/sse"
)

// A puppetRelay keeps the publishing side of the HTTP contract, and nothing
// else, over real HTTP.
type puppetRelay struct {
	t testing.TB
	*httptest.Server

	mu       sync.Mutex
	log      []string         // committed, "topic id type=data"
	keys     map[string]*used // by topic and publish key
	requests int
	reject   func(r *http.Request) int // a status instead of the answer, or 0
	limit    int                       // on data, in bytes; 0 = none
	mute     bool                      // commits, and acknowledges nothing
}

// used is what was committed under a publish key.
type used struct {
	count  uint64
	id     string
	events []string
}

func newPuppetRelay(t testing.TB, http2 bool) *puppetRelay {
	r := &puppetRelay{t: t, keys: make(map[string]*used)}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = log.New(io.Discard, "", 0)
	if http2 {
		r.Server.EnableHTTP2 = true
		r.Server.StartTLS()
	} else {
		r.Server.Start()
	}
	t.Cleanup(func() {
		r.CloseClientConnections()
		r.Close()
	})
	return r
}

// Restart forgets everything, as a lone relay does.
func (r *puppetRelay) Restart() {
	r.mu.Lock()
	r.keys = make(map[string]*used)
	r.mu.Unlock()
	r.CloseClientConnections()
}

// Log returns what was committed.
func (r *puppetRelay) Log() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.log...)
}

// commit commits one event under a key, as its number n, unless it is there.
// It fails with a status.
func (r *puppetRelay) commit(topic, key string, n uint64, e sse.Event) (id string, count uint64, status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.limit > 0 && len(e.Data) > r.limit {
		return "", 0, 413
	}
	text := e.Type + "=" + string(e.Data)
	u := r.keys[topic+" "+key]
	if u == nil || key == "" {
		u = &used{count: n - 1}
		r.keys[topic+" "+key] = u
	}
	if n <= u.count {
		if had := len(u.events) - int(u.count-n) - 1; had >= 0 && u.events[had] != text {
			return "", 0, 409
		}
		return u.id, n, 0
	}
	if n != u.count+1 {
		r.t.Errorf("event %d follows event %d under its key", n, u.count)
	}
	u.count = n
	u.events = append(u.events, text)
	if u.id = e.ID; u.id == "" {
		u.id = "p-" + strconv.Itoa(len(r.log)+1)
	}
	r.log = append(r.log, topic+" "+u.id+" "+text)
	return u.id, n, 0
}

func (r *puppetRelay) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.requests++
	reject := 0
	if r.reject != nil {
		reject = r.reject(req)
	}
	r.mu.Unlock()
	topic, ok := strings.CutPrefix(req.URL.Path, "/events/")
	switch {
	case reject == 307:
		w.Header().Set("Location", req.URL.RequestURI()+"&moved=1")
		w.WriteHeader(307)
		return
	case reject != 0:
		refuse(w, reject)
		return
	case !ok:
		refuse(w, 404)
		return
	case req.Method == http.MethodDelete:
		r.mu.Lock()
		r.log = append(r.log, topic+" END")
		r.mu.Unlock()
		w.WriteHeader(204)
		return
	case req.Header.Get("Content-Type") == "text/event-stream":
		r.serveStream(w, req, topic)
		return
	}
	data, err := io.ReadAll(req.Body)
	if err != nil {
		refuse(w, 400)
		return
	}
	q := req.URL.Query()
	key := req.Header.Get("Idempotency-Key")
	if key == "" && q.Get("id") != "" {
		key = "id " + q.Get("id")
	}
	id, count, status := r.commit(topic, key, 1, sse.Event{ID: q.Get("id"), Type: q.Get("event"), Key: q.Get("key"), Data: data})
	if status != 0 {
		refuse(w, status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(201)
	json.NewEncoder(w).Encode(map[string]any{"topic": topic, "id": id, "count": count})
}

func (r *puppetRelay) serveStream(w http.ResponseWriter, req *http.Request, topic string) {
	control := http.NewResponseController(w)
	control.EnableFullDuplex()
	lines := req.Header.Get("Accept") == "application/x-ndjson"
	if lines {
		req.Body.Read(nil) // sends 100 Continue, which an early 200 does not
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.WriteHeader(200)
		control.Flush()
	}
	n, _ := strconv.ParseUint(req.Header.Get("Freshet-Offset"), 10, 64)
	last := ""
	d := sse.Decoder{}
	chunk := make([]byte, 4096)
	for {
		size, err := req.Body.Read(chunk)
		d.Feed(chunk[:size])
		before := n
		for e := (sse.Event{}); d.Next(&e); {
			id, _, status := r.commit(topic, req.Header.Get("Idempotency-Key"), n+1, e)
			if status != 0 {
				if lines {
					if n > before {
						fmt.Fprintf(w, "{\"count\":%d,\"id\":%q}\n", n, last)
					}
					fmt.Fprintf(w, "{\"title\":\"no\",\"status\":%d,\"detail\":\"bad event\",\"field\":\"data\",\"limit\":\"limits.event_bytes\",\"max\":%d,\"count\":%d}\n", status, r.limit, n)
					control.Flush()
					return
				}
				refuse(w, status)
				return
			}
			n, last = n+1, id
		}
		r.mu.Lock()
		mute := r.mute
		r.mu.Unlock()
		if lines && n > before && !mute {
			fmt.Fprintf(w, "{\"count\":%d,\"id\":%q}\n", n, last)
			control.Flush()
		}
		if err == io.EOF && !lines {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(201)
			json.NewEncoder(w).Encode(map[string]any{"topic": topic, "id": last, "count": n})
		}
		if err != nil {
			return
		}
	}
}

func refuse(w http.ResponseWriter, status int) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"title":%q,"status":%d,"detail":"because","field":"data","limit":"limits.some","max":7}`, http.StatusText(status), status)
}

// A cutter stands between a client and a server, and cuts connections after
// some number of bytes, in either direction.
type cutter struct {
	URL string

	mu     sync.Mutex
	random *rand.Rand
	most   int // bytes a connection may carry; 0 = any
	cuts   int
}

// newCutter returns a cutter before the server. While it cuts, a connection
// carries fewer than most bytes.
func newCutter(t testing.TB, server string, seed uint64, most int) *cutter {
	scheme, address, _ := strings.Cut(server, "://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{URL: scheme + "://" + l.Addr().String(), random: rand.New(rand.NewPCG(seed, 3)), most: most}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.carry(from, address) })
		}
	})
	t.Cleanup(func() { l.Close(); all.Wait() })
	return c
}

// Stop lets connections made from now on live.
func (c *cutter) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = 0
}

// Cuts returns how many connections were cut.
func (c *cutter) Cuts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cuts
}

func (c *cutter) budget() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.most == 0 {
		return 1 << 40
	}
	return int64(c.random.IntN(c.most))
}

func (c *cutter) carry(from net.Conn, address string) {
	defer from.Close()
	to, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer to.Close()
	var both sync.WaitGroup
	move := func(dst, src net.Conn, budget int64) {
		if n, _ := io.CopyN(dst, src, budget); n == budget {
			c.mu.Lock()
			c.cuts++
			c.mu.Unlock()
		}
		src.Close()
		dst.Close()
	}
	up, down := c.budget(), c.budget()
	both.Go(func() { move(to, from, up) })
	both.Go(func() { move(from, to, down) })
	both.Wait()
}
