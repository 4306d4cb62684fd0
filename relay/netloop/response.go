package netloop

import (
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"sync"
	"time"

	"freshet/relay/h2"
	"golang.org/x/net/http2/hpack"
)

// A buffer is what a handler writes into before it goes to the loop.
type buffer [4 << 10]byte

var buffers = sync.Pool{New: func() any { return new(buffer) }}

// A response is the http.ResponseWriter of an exchange, used by the handler's goroutine only.
type response struct {
	exchange *exchange
	header   http.Header
	status   int   // 0 = WriteHeader was not called
	begun    bool  // the header block has gone to the loop
	given    bool  // to Take
	length   int64 // of the body as the handler declared it, -1 = it did not
	written  int64 // bytes of the body
	buf      *buffer
	n        int // bytes in buf
}

// errGiven is what a handler gets that writes after Take.
var errGiven = errors.New("netloop: the stream was given to a loop")

// Header returns the fields that are sent with the first byte, or Flush.
func (w *response) Header() http.Header {
	if w.header == nil {
		w.header = make(http.Header)
	}
	return w.header
}

// WriteHeader sets the status. Informational ones are not sent.
func (w *response) WriteHeader(status int) {
	if w.status != 0 || w.given || status < 200 {
		return
	}
	if status > 999 {
		panic("netloop: invalid status code " + strconv.Itoa(status))
	}
	w.status = status
	w.length = -1
	if v := w.Header().Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.length = n
		} else {
			w.header.Del("Content-Length")
		}
	}
}

// hasBody reports whether an answer of this status may have one (RFC 9110 6.4.1).
func hasBody(status int) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified
}

// Write sends p. It blocks while the stream has no room.
func (w *response) Write(p []byte) (int, error) {
	return write(w, p)
}

// WriteString is Write.
func (w *response) WriteString(s string) (int, error) {
	return write(w, s)
}

func write[T []byte | string](w *response, p T) (int, error) {
	if w.given {
		return 0, errGiven
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !hasBody(w.status) {
		return 0, http.ErrBodyNotAllowed
	}
	if w.written += int64(len(p)); w.length >= 0 && w.written > w.length {
		return 0, http.ErrContentLength
	}
	done := 0
	for done < len(p) {
		if w.n == 0 && len(p)-done >= len(w.buf) {
			// Straight from the caller, who waits.
			w.begin([]byte(p[done:min(len(p), done+512)]), false)
			if w.isHead() {
				return len(p), nil
			}
			if err := w.exchange.offer([]byte(p[done:]), nil, false); err != nil {
				return done, err
			}
			return len(p), nil
		}
		if w.buf == nil {
			w.buf = buffers.Get().(*buffer)
		}
		n := copy(w.buf[w.n:], p[done:])
		w.n += n
		done += n
		if w.n == len(w.buf) {
			if err := w.flush(false); err != nil {
				return done, err
			}
		}
	}
	return len(p), nil
}

// Flush sends what was written so far.
func (w *response) Flush() { _ = w.FlushError() }

// FlushError is for http.ResponseController.
func (w *response) FlushError() error {
	if w.given {
		return errGiven
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.flush(false)
}

// SetReadDeadline is for http.ResponseController: reading the request's body fails from then on.
func (w *response) SetReadDeadline(t time.Time) error {
	if w.exchange.body != nil {
		w.exchange.body.setDeadline(t)
	}
	return nil
}

// EnableFullDuplex is for http.ResponseController: HTTP/2 always is.
func (w *response) EnableFullDuplex() error { return nil }

func (w *response) isHead() bool { return w.exchange.request.Method == http.MethodHead }

// flush gives the buffer to the loop.
func (w *response) flush(end bool) error {
	buf, n := w.buf, w.n
	w.buf, w.n = nil, 0
	var first []byte
	if buf != nil {
		first = buf[:n]
	}
	w.begin(first, end)
	if w.isHead() || !hasBody(w.status) || end && w.written == 0 {
		if buf != nil {
			buffers.Put(buf)
		}
		return nil
	}
	if n == 0 && !end {
		return nil
	}
	return w.exchange.offer(first, buf, end)
}

// begin sends the header block, once. first is the beginning of the body and end says that it is all.
func (w *response) begin(first []byte, end bool) {
	if w.begun {
		return
	}
	w.begun = true
	h := w.Header()
	if end && w.length < 0 && hasBody(w.status) && (w.written > 0 || !w.isHead()) {
		h.Set("Content-Length", strconv.FormatInt(w.written, 10))
	}
	if _, has := h["Content-Type"]; !has && len(first) > 0 && h.Get("Content-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(first))
	}
	x := w.exchange
	head := h2.AppendFields(nil, w.status, responseFields(h))
	x.mu.Lock()
	x.head = head
	x.alone = w.isHead() || !hasBody(w.status) || end && w.written == 0
	x.post()
	x.mu.Unlock()
}

// end completes the answer after the handler has returned.
func (w *response) end() {
	if w.given {
		return
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if w.length > w.written && !w.isHead() && hasBody(w.status) {
		panic(http.ErrAbortHandler) // shorter than it said; only a reset tells the client
	}
	if w.begun && (w.isHead() || !hasBody(w.status)) {
		return
	}
	if w.begun && w.n == 0 {
		_ = w.exchange.offer(nil, nil, true)
		return
	}
	_ = w.flush(true)
}

var _ io.StringWriter = (*response)(nil)

// responseFields turns a handler's header into HTTP/2's: in lower case, and without what belongs to a
// connection (RFC 9113 8.2.2). What is no field is left out.
func responseFields(h http.Header) []hpack.HeaderField {
	fields := make([]hpack.HeaderField, 0, len(h)+1)
	dated := false
	for name, values := range h {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade":
			continue
		case "Date":
			dated = true
		}
		low, ok := fieldName(name)
		if !ok {
			continue
		}
		for _, v := range values {
			if isFieldValue(v) {
				fields = append(fields, hpack.HeaderField{Name: low, Value: textproto.TrimString(v)})
			}
		}
	}
	if !dated {
		fields = append(fields, hpack.HeaderField{Name: "date", Value: time.Now().UTC().Format(http.TimeFormat)})
	}
	return fields
}

// fieldName is name in lower case, if it is a token (RFC 9110 5.6.2).
func fieldName(name string) (string, bool) {
	for i := range len(name) {
		c := name[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return "", false
		}
	}
	return strings.ToLower(name), name != ""
}

// isFieldValue reports whether v may be sent: no CR, LF or NUL, nor any other control (RFC 9110 5.5).
func isFieldValue(v string) bool {
	for i := range len(v) {
		if c := v[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// statusBlock is the header block of an answer that is nothing but its status.
func statusBlock(status int) []byte {
	return h2.AppendFields(nil, status, []hpack.HeaderField{{Name: "content-length", Value: "0"}})
}
