package relay

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"freshet/origin/sse"
)

func TestProblemIsWritten(t *testing.T) {
	p := overLimit(http.StatusServiceUnavailable, "limits.publishes", 8, "no more than %d", 8)
	p.after = 1200 * time.Millisecond
	w := httptest.NewRecorder()
	w.Header().Set("Access-Control-Allow-Origin", "*")
	p.write(w)
	const want = `{"title":"Service Unavailable","status":503,"detail":"no more than 8","limit":"limits.publishes","max":8}` + "\n"
	if w.Code != 503 || w.Body.String() != want {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for name, want := range map[string]string{
		"Content-Type":                "application/problem+json",
		"Retry-After":                 "2", // never early
		"Access-Control-Allow-Origin": "*",
		"Content-Length":              fmt.Sprint(len(want)),
	} {
		if got := w.Header().Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestProblemOfAnError(t *testing.T) {
	gone := newProblem(http.StatusGone, "gone")
	for _, c := range []struct {
		err    error
		status int
	}{
		{gone, 410},
		{fmt.Errorf("commit: %w", gone), 410},
		{statusError(409), 409},
		{statusError(204), 503}, // no answer to a publisher
		{errors.New("the link broke"), 503},
	} {
		if p := asProblem(c.err); p.Status != c.status || p.Detail == "" {
			t.Errorf("%v: %+v, want %d", c.err, p, c.status)
		}
	}
	_, err := sse.ParseTopic("a//b")
	if p := fieldProblem(err); p.Status != 400 || p.Field != "topic" {
		t.Errorf("%+v", p)
	}
}

type statusError int

func (e statusError) Error() string   { return http.StatusText(int(e)) }
func (e statusError) HTTPStatus() int { return int(e) }
