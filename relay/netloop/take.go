package netloop

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"freshet/relay/h2"
)

// ErrForeign is returned by Take when the request is not served by an Engine.
var ErrForeign = errors.New("netloop: the request is not served by an engine")

// errBegun is returned by Take after something was written.
var errBegun = errors.New("netloop: the answer has begun already")

// Take gives the answer to r to a loop, which sends status 200, the header fields that are set on
// w, and then for ever what body has, whenever f is woken (nil: never). The handler must
// return soon after. If Take returns an error, nothing has happened, body is not called, and the
// handler still has to answer, except when HTTP/1.1 had to give up the connection.
func Take(w http.ResponseWriter, r *http.Request, body Body, f *Fanout) error {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		return ErrForeign
	}
	for {
		if w, ok := w.(*response); ok {
			return w.give(body, f)
		}
		under, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = under.Unwrap()
	}
	if r.ProtoMajor != 1 {
		return ErrForeign
	}
	return c.takeHTTP1(w, r, body, f)
}

// give is Take for HTTP/2.
func (w *response) give(body Body, f *Fanout) error {
	if w.given || w.begun || w.n > 0 {
		return errBegun
	}
	w.given = true
	x := w.exchange
	g := &gift{body: body, fanout: f, head: h2.AppendFields(nil, http.StatusOK, responseFields(w.Header()))}
	x.mu.Lock()
	x.given = g
	x.post()
	x.mu.Unlock()
	return nil
}

// takeHTTP1 hijacks the connection and moves it to a loop.
func (c *conn) takeHTTP1(w http.ResponseWriter, r *http.Request, body Body, f *Fanout) error {
	header := w.Header().Clone()
	nc, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return fmt.Errorf("take stream: %w", err)
	}
	if connOf(nc) != c {
		_ = nc.Close()
		return errNotHijacked
	}
	_ = nc.SetDeadline(time.Time{})
	s := &stream{conn: c}
	t := &takenHTTP1{stream: s, gift: gift{body: body, fanout: f}}
	// The connection is good for nothing after an endless body.
	header.Set("Connection", "close")
	header.Del("Content-Length")
	if header.Get("Date") == "" {
		header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	}
	if r.ProtoAtLeast(1, 1) {
		header.Set("Transfer-Encoding", "chunked")
		s.flags |= chunked
	}
	var head bytes.Buffer
	head.WriteString("HTTP/1.1 200 OK\r\n")
	_ = header.Write(&head)
	head.WriteString("\r\n")
	t.head = bytes.Clone(head.Bytes())

	l := c.engine.pick()
	if err := c.handOver(l); err != nil {
		_ = c.Close()
		return fmt.Errorf("take stream: %w", err)
	}
	l.push(t)
	return nil
}

// takenHTTP1 is the task that gives a connection with its only stream to a loop.
type takenHTTP1 struct {
	stream *stream
	gift
}

func (t *takenHTTP1) run(l *loop) {
	s := t.stream
	c := s.conn
	if !l.add(c) {
		s.flags |= gone
		c.join(s, t.body, nil, nil)
		return
	}
	c.phase = open
	c.only = s
	c.streams = 1
	c.join(s, t.body, t.head, t.fanout)
	c.queueRead()
	if l.draining {
		c.leave()
	}
}
