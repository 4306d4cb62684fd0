package origin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"freshet/origin/sse"
)

// A Sink takes what a Source brings. Its calls come one at a time for each
// connection to an origin, and hold that connection up, and no other, while
// they last.
type Sink interface {
	// Append commits the event to the topic's log, and returns the id that it
	// has there when that is done. e.ID is the origin's id for it, "" if the
	// origin gave it none; e.Topic is empty; e.Data is valid during the call.
	//
	// An error with a method HTTPStatus() int that says 410 means that the
	// topic has ended here: no more is brought for it. Another 4xx refuses the
	// event: it is left out, and Gap is called. After any other error the
	// origin is asked for the event again.
	Append(ctx context.Context, topic string, e sse.Event) (id string, err error)
	// Gap says that events are missing after what was appended last. The ids
	// are the origin's: of the last event before the gap and of the first that
	// it has after it; "" where that is not known.
	Gap(ctx context.Context, topic, lastEventID, oldestID string) error
	// End says that the origin has ended the topic.
	End(ctx context.Context, topic string) error
}

// A Log says what a topic's log has from before this Source brought anything:
// from another relay that pulled the feed, or from an earlier Follow.
type Log interface {
	// Holds reports whether the log has an event with e's id and the same
	// type, key and data.
	Holds(topic string, e sse.Event) bool
	// Newest returns the id of the log's newest event, as Append returned it,
	// "" if there never was one; and whether an origin gave that id.
	Newest(topic string) (id string, given bool)
}

// A Source pulls one feed. Exactly one of Topic, Prefix alone, and Template
// says which kind it is:
//
//	Topic     all events of the stream belong to this topic; Run pulls it
//	Prefix    each event names its topic in a topic field; Run pulls it
//	Template  a URL for each topic; Follow pulls one of them
//
// Set the fields, then call Run or Follow; the fields must not change after.
type Source struct {
	// Name stands for the feed in logs and metrics. "" = feed.
	Name string
	// URLs are tried in turn: after a failure the next one is. They must serve
	// the same events under the same ids.
	URLs []string
	// Topic is where all events go.
	Topic string
	// Prefix begins every topic that the feed may name. With a Template it
	// limits the topics there is anything to pull for; "" = all.
	Prefix string
	// Template is a URL in which {topic} stands for the topic.
	Template string

	// Header is sent with every request.
	Header http.Header
	// TLS is for origins with an authority of their own, or which ask for a
	// certificate. nil = the system's authorities, no certificate.
	TLS *tls.Config
	// Client makes the requests instead of one of the Source's own, which
	// speaks HTTP/1.1 and HTTP/2 and has TLS from above. It must not have a
	// Timeout, which would end the stream.
	Client *http.Client

	// Retry is the base of the backoff between attempts, unless the origin
	// names another in a retry field. 0 = 2 s.
	Retry time.Duration
	// MaxRetry bounds the backoff. 0 = 30 s.
	MaxRetry time.Duration
	// IdleTimeout is how long a connection may be silent before it is cut and
	// made anew. 0 = 45 s.
	IdleTimeout time.Duration
	// MaxEvent bounds one event, in bytes. A larger one is left out, with a
	// gap. 0 = 256 KiB.
	MaxEvent int
	// LastEventID is where Run's first connection resumes. "" = with a Topic,
	// after the Log's newest event if an origin gave its id; else live.
	LastEventID string

	// MaxPulls bounds how many topics of a Template are pulled at once.
	// 0 = 1,000.
	MaxPulls int
	// MissFor is how long the origin is not asked again for a topic that it
	// does not have. 0 = 5 s.
	MissFor time.Duration
	// MissRate is how many topics that it does not have the origin is asked
	// for each second, in the long run. Above that only topics which it had
	// in the last hour are asked for. 0 = 50.
	MissRate int

	Sink    Sink         // takes the events; needed
	Log     Log          // nil = nothing is known from before
	Moved   func(Place)  // told by Run and Resume where they stand, after each event; it must not block; nil = nobody asks
	Logger  *slog.Logger // nil = discard
	Metrics *Metrics     // nil = not counted anywhere

	once   sync.Once
	err    error // what is wrong with the fields above
	client *http.Client
	demand *demand // Template's topics

	// mu guards the cursor of Run, which is written by its goroutine alone.
	mu     sync.Mutex
	cursor string
}

// A Place is where a pull stands at the origin.
type Place struct {
	Cursor string // the origin's id to resume from; "" = it has given none
	Begun  bool   // events were committed: without a Cursor, what comes next follows a hole
}

// Run pulls the feed of one topic or of many until ctx ends, or the origin says
// that there is no more, and returns nil. It returns an error only for a field
// that cannot be.
func (s *Source) Run(ctx context.Context) error {
	return s.Resume(ctx, Place{Cursor: s.LastEventID})
}

// Resume is Run from where an earlier one stood, perhaps of another process. A
// zero Place is where Run begins without a LastEventID. One call of Run or Resume
// may follow another.
func (s *Source) Resume(ctx context.Context, from Place) error {
	if err := s.setUp(); err != nil {
		return err
	}
	if s.Template != "" {
		return fmt.Errorf("origin: feed %s has a template: its topics are followed one by one", s.Name)
	}
	if from.Cursor == "" && s.Topic != "" {
		if newest, given := s.newest(s.Topic); given {
			from.Cursor = newest
		}
	}
	p := s.newPull(s.Topic, s.URLs, from.Cursor)
	if from.Begun {
		p.missed()
	}
	p.moved = func(cursor string) {
		s.mu.Lock()
		s.cursor = cursor
		s.mu.Unlock()
		if s.Moved != nil {
			s.Moved(Place{Cursor: cursor, Begun: from.Begun || len(p.topics) > 0})
		}
	}
	p.moved(from.Cursor)
	p.run(ctx)
	return nil
}

// Cursor returns the id that Run would resume from now: of the last event that
// the Sink has committed.
func (s *Source) Cursor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Check returns an error that names the field which cannot be.
func (s *Source) Check() error { return s.setUp() }

func (s *Source) setUp() error {
	s.once.Do(func() {
		if s.Name == "" {
			s.Name = "feed"
		}
		if err := s.check(); err != nil {
			s.err = fmt.Errorf("origin: feed %s: %w", s.Name, err)
			return
		}
		def(&s.Retry, 2*time.Second)
		def(&s.MaxRetry, 30*time.Second)
		def(&s.IdleTimeout, 45*time.Second)
		def(&s.MaxEvent, sse.DefaultMaxEvent)
		def(&s.MaxPulls, 1000)
		def(&s.MissFor, 5*time.Second)
		def(&s.MissRate, 50)
		if s.Logger == nil {
			s.Logger = slog.New(slog.DiscardHandler)
		}
		if s.Metrics == nil {
			s.Metrics = NewMetrics(nil)
		}
		if s.client = s.Client; s.client == nil {
			s.client = &http.Client{Transport: newTransport(s.TLS)}
		}
		s.demand = newDemand(s.MaxPulls, s.MissRate, s.MissFor)
	})
	return s.err
}

func def[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (s *Source) check() error {
	if s.Sink == nil {
		return errors.New("it has no Sink")
	}
	switch {
	case s.Template != "":
		if s.Topic != "" || len(s.URLs) > 0 {
			return errors.New("it has a template, so it can have neither topic nor url")
		}
		if !strings.Contains(s.Template, "{topic}") {
			return fmt.Errorf("template %q does not contain {topic}", s.Template)
		}
		if err := checkURL(strings.ReplaceAll(s.Template, "{topic}", "t")); err != nil {
			return fmt.Errorf("template: %w", err)
		}
	case len(s.URLs) == 0:
		return errors.New("it has no url")
	case s.Topic != "":
		if s.Prefix != "" {
			return errors.New("it has a topic and a prefix")
		}
		if _, err := sse.ParseTopic(s.Topic); err != nil {
			return err
		}
	case s.Prefix == "":
		return errors.New("it has neither topic nor prefix nor template")
	}
	if s.Prefix != "" && !sse.ValidTopic(s.Prefix+"x") {
		return fmt.Errorf("prefix %q begins no topic", s.Prefix)
	}
	for _, u := range s.URLs {
		if err := checkURL(u); err != nil {
			return fmt.Errorf("url: %w", err)
		}
	}
	for _, d := range []struct {
		name  string
		value int64
	}{
		{"retry", int64(s.Retry)}, {"max_retry", int64(s.MaxRetry)}, {"idle_timeout", int64(s.IdleTimeout)},
		{"max_event", int64(s.MaxEvent)}, {"max_pulls", int64(s.MaxPulls)}, {"miss_for", int64(s.MissFor)}, {"miss_rate", int64(s.MissRate)},
	} {
		if d.value < 0 {
			return fmt.Errorf("%s is negative", d.name)
		}
	}
	return nil
}

func checkURL(text string) error {
	u, err := url.Parse(text)
	if err != nil {
		return err
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("%q is not an http or https URL", u.Redacted())
	}
	return nil
}
