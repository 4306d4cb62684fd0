package relay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// start is where in the topic's log a subscriber asks to begin.
type start struct {
	resume string    // after the event with this id; "" = as from says
	from   from      // used without resume
	last   int       // fromLast: so many events
	since  time.Time // fromSince
}

type from uint8

const (
	fromLive from = iota
	fromOldest
	fromLast
	fromSince
)

// parseStart reads where to begin from the request. The header wins over the
// query: a client that reconnects keeps the URL it was given and adds the
// header. Some clients cannot set a header, and send the id in the query under
// one of two names. An empty id is none (WHATWG HTML, section 9.2.3).
func parseStart(h http.Header, query url.Values) (start, *Problem) {
	for _, id := range []string{h.Get("Last-Event-ID"), query.Get("last_event_id"), query.Get("lastEventId")} {
		if id != "" {
			return start{resume: id}, nil
		}
	}
	return parseFrom(query.Get("from"))
}

func parseFrom(s string) (start, *Problem) {
	switch s {
	case "", "live":
		return start{}, nil
	case "oldest":
		return start{from: fromOldest}, nil
	}
	if digits, ok := strings.CutPrefix(s, "-"); ok {
		// ParseUint takes no sign. More than there can be is all there is.
		n, err := strconv.ParseUint(digits, 10, 31)
		if err == nil {
			return start{from: fromLast, last: int(n)}, nil
		}
	}
	// A plus sign in a query that nobody escaped arrives as a blank.
	if t, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1)); err == nil {
		return start{from: fromSince, since: t}, nil
	}
	return start{}, badField("from", "from is %q; it may be live, oldest, -10 for the last ten, or a time like 2026-11-21T15:00:00Z", clip(s))
}

// clip keeps what a client sent short in an answer.
func clip(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
