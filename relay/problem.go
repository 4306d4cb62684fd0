package relay

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Problem refuses a request, in the form of RFC 9457. Field and Limit are
// extension members (section 3.2): what in the request is at fault, and which
// setting drew the line.
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Field  string `json:"field,omitempty"` // topic, id, event, key, data, from, ...
	Limit  string `json:"limit,omitempty"` // as in the configuration: limits.event_bytes
	Max    int64  `json:"max,omitempty"`   // the limit's value
	Count  uint64 `json:"count,omitempty"` // events committed before the refusal, as in an acknowledgement

	allow string        // for Allow, with 405
	after time.Duration // for Retry-After, with 503
}

func (p *Problem) Error() string { return "relay: " + p.Detail }

// HTTPStatus returns the status the problem is answered with.
func (p *Problem) HTTPStatus() int { return p.Status }

func newProblem(status int, format string, args ...any) *Problem {
	return &Problem{Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
}

// badField is a 400 about one part of the request.
func badField(field, format string, args ...any) *Problem {
	p := newProblem(http.StatusBadRequest, format, args...)
	p.Field = field
	return p
}

// overLimit says which setting stands in the way.
func overLimit(status int, limit string, most int64, format string, args ...any) *Problem {
	p := newProblem(status, format, args...)
	p.Limit, p.Max = limit, most
	return p
}

// write answers with the problem. Headers that are set already, CORS's above
// all, stay.
func (p *Problem) write(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.after > 0 {
		h.Set("Retry-After", strconv.FormatInt(int64((p.after+time.Second-1)/time.Second), 10))
	}
	line := p.line()
	h.Set("Content-Length", strconv.Itoa(len(line)))
	w.WriteHeader(p.Status)
	w.Write(line)
}

// line returns the problem as one line of JSON.
func (p *Problem) line() []byte {
	b, err := json.Marshal(p)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return append(b, '\n')
}
