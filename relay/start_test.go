package relay

import (
	"net/http"
	"net/url"
	"testing"
	"time"
)

func TestParseStart(t *testing.T) {
	at := time.Date(2026, 11, 21, 15, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header, query string
		want          start
		bad           bool
	}{
		{"", "", start{}, false},
		{"", "from=live", start{}, false},
		{"", "from=oldest", start{from: fromOldest}, false},
		{"", "from=-10", start{from: fromLast, last: 10}, false},
		{"", "from=-0", start{from: fromLast}, false},
		{"", "from=2026-11-21T15:00:00Z", start{from: fromSince, since: at}, false},
		{"", "from=2026-11-21T15:00:00.5Z", start{from: fromSince, since: at.Add(time.Second / 2)}, false},
		{"", "from=2026-11-21T16:00:00%2B01:00", start{from: fromSince, since: at}, false},
		{"", "from=2026-11-21T16:00:00+01:00", start{from: fromSince, since: at}, false}, // + is a blank in a query
		{"a", "last_event_id=b&lastEventId=c&from=oldest", start{resume: "a"}, false},
		{"", "last_event_id=b&lastEventId=c&from=oldest", start{resume: "b"}, false},
		{"", "last_event_id=&lastEventId=c&from=oldest", start{resume: "c"}, false},
		{"", "last_event_id=&from=oldest", start{from: fromOldest}, false},
		{"ü", "", start{resume: "ü"}, false},
		{"a", "from=nonsense", start{resume: "a"}, false}, // a URL that once was good
		{"", "from=10", start{}, true},
		{"", "from=--1", start{}, true},
		{"", "from=-", start{}, true},
		{"", "from=-1.5", start{}, true},
		{"", "from=-99999999999", start{}, true},
		{"", "from=yesterday", start{}, true},
		{"", "from=2026-11-21", start{}, true},
	} {
		query, err := url.ParseQuery(c.query)
		if err != nil {
			t.Fatal(err)
		}
		got, problem := parseStart(http.Header{"Last-Event-Id": {c.header}}, query)
		if (problem != nil) != c.bad {
			t.Errorf("%q %q: %v", c.header, c.query, problem)
			continue
		}
		if problem != nil && (problem.Status != 400 || problem.Field != "from") {
			t.Errorf("%q: %+v", c.query, problem)
		}
		if !got.since.Equal(c.want.since) {
			t.Errorf("%q: since %v, want %v", c.query, got.since, c.want.since)
		}
		got.since = c.want.since
		if got != c.want {
			t.Errorf("%q %q: %+v, want %+v", c.header, c.query, got, c.want)
		}
	}
}
