package relay

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"freshet/ringbuf"
)

func TestReadAhead(t *testing.T) {
	text := strings.Repeat("data: 0123456789\n\n", 100_000)
	for name, body := range map[string]io.Reader{
		"whole": strings.NewReader(text), "halves": iotest.HalfReader(strings.NewReader(text)), "with the error": iotest.DataErrReader(strings.NewReader(text)),
	} {
		a := newReadAhead(body)
		got, err := io.ReadAll(a)
		a.stop(func() { t.Error(name, "is interrupted at its end") })
		if err != nil || string(got) != text {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	a := newReadAhead(iotest.ErrReader(io.ErrUnexpectedEOF))
	if _, err := a.Read(make([]byte, 10)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	a.stop(nil)
}

// It reads no more ahead than it may, and stops while it waits for room.
func TestReadAheadIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := bytes.NewReader(make([]byte, 4*mostAhead))
		a := newReadAhead(body)
		synctest.Wait()
		if n := 4*mostAhead - body.Len(); n > mostAhead+publishChunk {
			t.Errorf("%d bytes are read ahead", n)
		}
		a.stop(func() {})
	})
}

// distant commits after a round trip.
type distant struct {
	*fakeLogs
	trips int
}

func (d *distant) Commit(_ context.Context, _, _ string, number uint64, e []ringbuf.Entry) (string, uint64, int, error) {
	d.trips++
	time.Sleep(80 * time.Millisecond)
	return "1-1", number - 1 + uint64(len(e)), len(e), nil
}

// What comes during a round trip is committed in the next one, all of it.
func TestPublishStreamFarFromItsOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := &distant{fakeLogs: newFakeLogs()}
		r := newTestRelay(t, Config{Logs: logs})
		const events = 100_000
		req := httptest.NewRequest("POST", "/events/t", strings.NewReader(strings.Repeat("data: 0123456789\n\n", events)))
		req.RemoteAddr, req.Host = "127.0.0.1:4242", "localhost"
		req.Header.Set("Content-Type", "text/event-stream")
		w := httptest.NewRecorder()
		r.Handler().ServeHTTP(w, req)
		if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), `"count":100000`) {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if most := 15; logs.trips > most {
			t.Errorf("%d events took %d round trips, want at most %d", events, logs.trips, most)
		}
	})
}
