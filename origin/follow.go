package origin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"freshet/ringbuf"
)

// ErrNotAsked is matched by Follow's error when the origin was not asked: too
// many topics are pulled, or too many were asked for in vain. Come again.
var ErrNotAsked = errors.New("origin not asked")

// Follow pulls one topic of a Template until ctx ends, and returns nil. It
// resumes where an earlier Follow of the topic left off, if the Log still ends
// there, else from lastEventID, else from the Log's newest event.
//
// It calls opened whenever a stream of the topic opens. Network trouble, 5xx
// and answers that are no event stream it bears, and tries again. Before the
// first time opened is called it may return a *StatusError, the origin's
// answer to whoever waits: 204 says that the topic has ended; 401, 403, 404
// and 410 refuse it. Such an answer is given again for MissFor without asking
// the origin. nil before that, with ctx not ended, means that the topic is
// not below Prefix.
//
// A topic is followed once at a time. Calls for different topics may run
// at once.
func (s *Source) Follow(ctx context.Context, topic, lastEventID string, opened func()) error {
	return s.FollowFrom(ctx, topic, Place{Cursor: lastEventID}, false, opened)
}

// FollowFrom is Follow from where another process stood that followed the topic
// before. open says that the topic was open there: somebody is served already,
// and so no answer of the origin is final but that the topic has ended.
func (s *Source) FollowFrom(ctx context.Context, topic string, at Place, open bool, opened func()) error {
	if err := s.setUp(); err != nil {
		return err
	}
	if s.Template == "" {
		return fmt.Errorf("origin: feed %s has no template to follow topics by", s.Name)
	}
	if !strings.HasPrefix(topic, s.Prefix) {
		return nil
	}
	switch status, refused := s.demand.admit(topic, time.Now()); refused {
	case "":
	case unaskedMiss:
		s.Metrics.unasked[refused].Inc()
		return &StatusError{Status: status}
	default:
		s.Metrics.unasked[refused].Inc()
		return fmt.Errorf("feed %s: %w (%s)", s.Name, ErrNotAsked, refused)
	}
	url := strings.ReplaceAll(s.Template, "{topic}", topic)
	from, hole := s.place(topic, at.Cursor)
	p := s.newPull(topic, []string{url}, from)
	p.doubted = madeByRelay(from)
	p.everOpen = open
	if hole || at.Begun {
		p.topics[topic] = false
	}
	p.level = slog.LevelDebug
	p.log = p.log.With("topic", topic)
	p.opened = func() {
		s.demand.hit(topic, time.Now())
		opened()
	}
	err := p.run(ctx)
	var status *StatusError
	if errors.As(err, &status) && !p.everOpen {
		s.demand.miss(topic, status.Status, time.Now())
		s.demand.release(topic, "", "")
		return status
	}
	s.demand.release(topic, p.cursor, p.newest)
	return nil
}

// place returns where to resume a topic; if there is no such place, it says
// whether an earlier Follow brought events, which leaves a hole behind them.
func (s *Source) place(topic, lastEventID string) (from string, hole bool) {
	newest, given := s.newest(topic)
	left := s.demand.left(topic)
	switch {
	case newest != "" && left.newest == newest && left.cursor != "":
		return left.cursor, false
	case lastEventID != "":
		return lastEventID, false
	case given:
		return newest, false
	}
	return "", left.newest != ""
}

func (s *Source) newest(topic string) (id string, given bool) {
	if s.Log == nil {
		return "", false
	}
	return s.Log.Newest(topic)
}

// madeByRelay reports whether the id looks like one that a relay gives to events
// without one: its position, of an epoch that is a time in seconds and 16 bits.
// An origin that is not a relay itself cannot know such an id; but it is sent
// all the same, for the origin may be one.
func madeByRelay(id string) bool {
	at, err := ringbuf.ParsePosition(id)
	seconds := at.Epoch >> 16
	return err == nil && seconds >= year2026 && seconds < year2100
}

// The years in which relays were started, in Unix seconds.
const (
	year2026 = 1_767_225_600
	year2100 = 4_102_444_800
)
