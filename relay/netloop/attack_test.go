package netloop

import (
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// Each attack is mounted over a real connection until the engine ends it. Meanwhile another client is
// served, and memory stays where it was.
func TestAttacks(t *testing.T) {
	attacks := []struct {
		name string
		code http2.ErrCode // of GOAWAY; the peer does not read, and gets none, if reads is false
		read bool
		step func(p *peer, i int) error // sends one blow
	}{
		{"rapid reset, CVE-2023-44487", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			if err := p.WriteHeaders(headersTo(id, "/")); err != nil {
				return err
			}
			return p.WriteRSTStream(id, http2.ErrCodeCancel)
		}},
		{"made you reset, CVE-2025-8671", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			id := uint32(2*i + 1)
			if err := p.WriteHeaders(headersTo(id, "/events")); err != nil {
				return err
			}
			return p.WriteWindowUpdate(id, 1<<31-1)
		}},
		{"continuation flood", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestBlock("GET", "/")})
			}
			return p.WriteContinuation(1, false, nil)
		}},
		{"endless header", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			if i == 0 {
				return p.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: requestBlock("GET", "/")})
			}
			return p.WriteContinuation(1, false, make([]byte, 16<<10))
		}},
		{"ping flood", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			return p.WritePing(false, [8]byte{byte(i)})
		}},
		{"ping flood by a peer that does not read", http2.ErrCodeEnhanceYourCalm, false, func(p *peer, i int) error {
			return p.WritePing(false, [8]byte{byte(i)})
		}},
		{"settings flood", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			return p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		}},
		{"priority flood", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			return p.WritePriority(uint32(2*i+1), http2.PriorityParam{})
		}},
		{"empty data", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			if i == 0 {
				f := headersTo(1, "/events")
				f.EndStream = false
				return p.WriteHeaders(f)
			}
			return p.WriteData(1, false, nil)
		}},
		{"window crumbs", http2.ErrCodeEnhanceYourCalm, true, func(p *peer, i int) error {
			if i == 0 {
				if err := p.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}); err != nil {
					return err
				}
				return p.WriteHeaders(headersTo(1, "/big"))
			}
			return p.WriteWindowUpdate(1, 1)
		}},
		{"window overflow", http2.ErrCodeFlowControl, true, func(p *peer, i int) error {
			return p.WriteWindowUpdate(0, 1<<31-1)
		}},
		{"stream ids that go back", http2.ErrCodeProtocol, true, func(p *peer, i int) error {
			return p.WriteHeaders(headersTo(uint32(1001-2*i), "/"))
		}},
	}
	e := &Engine{Loops: 1, Stall: time.Second}
	mux := http.NewServeMux()
	e.Handler = mux
	k := newTicker(e, 0)
	mux.Handle("/events", k)
	mux.HandleFunc("/big", func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(make([]byte, 100<<10)); err != nil {
				return
			}
		}
	})
	mux.Handle("/", empty)
	s := serve(t, e)
	bystander, url := s.client("h2")
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			s := *s
			s.t = t
			before := heap()
			p := s.dialPeer(false)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				for i := range 1 << 20 {
					if a.step(p, i) != nil {
						return
					}
				}
			}()
			switch resp, err := bystander.Get(url); {
			case err != nil:
				t.Errorf("bystander: %v", err)
			default:
				resp.Body.Close()
			}
			if a.read {
				p.wantGoAway(a.code)
			} else {
				<-sent // closed
			}
			wait(t, "the attacker to be gone", func() bool {
				p.Close()
				return e.Stats().Connections == 1 && e.Stats().Requests == 0
			})
			if grown := int(heap()) - int(before); grown > 8<<20 {
				t.Errorf("%d bytes more are held", grown)
			}
		})
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// A header list that unfolds from one octet a field is answered before it is all unfolded, and a peer that
// goes on so is not taken for one that does not end its header.
func TestHeaderListThatUnfolds(t *testing.T) {
	r := newRig(t, &Engine{HeaderRead: time.Second})
	c := r.connect()
	block := requestBlock("GET", "/")
	for range 15000 {
		block = append(block, 0x80|16) // accept-encoding: gzip, deflate
	}
	for i := range uint32(100) {
		_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: 2*i + 1, BlockFragment: block, EndHeaders: true, EndStream: true})
	}
	all := c.sent.p
	for len(all) > 0 { // in pieces that never end with a frame
		n := min(len(all), 10<<10)
		c.sent.p, all = all[:n], all[n:]
		c.deliver()
		r.pass(100 * time.Millisecond)
	}
	frames := c.frames()
	for _, f := range frames {
		if !strings.HasPrefix(f, "HEADERS ") {
			t.Fatalf("frame %q", f)
		}
	}
	if len(frames) != 100 || r.e.handlersOpen.Load() != 0 {
		t.Errorf("%d answers, want 100", len(frames))
	}
}

// What tls.Conn has to say by itself, to a peer that asks and does not read, is bounded too.
func TestUnsentIsBounded(t *testing.T) {
	r := newRig(t, &Engine{})
	c := r.connect()
	c.socket.room = 10
	var err error
	for range 2 * maxUnsent / 100 {
		if _, err = c.conn.Write(make([]byte, 100)); err != nil {
			break
		}
	}
	if err != errUnsent || len(c.unsent) > maxUnsent {
		t.Errorf("%d bytes kept, %v", len(c.unsent), err)
	}
}

// TLS records that come octet by octet are records.
func TestRecordsInPieces(t *testing.T) {
	e := &Engine{Loops: 1}
	k := newTicker(e, 0)
	e.Handler = k
	s := serve(t, e)
	p := s.dialPeerOver(func(w io.Writer, p []byte) (int, error) {
		for i := range p {
			if _, err := w.Write(p[i : i+1]); err != nil {
				return i, err
			}
		}
		return len(p), nil
	})
	p.request(1, "GET", "/", true)
	if f, ok := p.next().(*http2.HeadersFrame); !ok {
		t.Fatalf("frame %v", f)
	}
	k.send("event\n")
	if f, ok := p.next().(*http2.DataFrame); !ok || string(f.Data()) != "event\n" {
		t.Fatalf("frame %v", f)
	}
}
