package origin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/url"
	"time"

	"freshet/origin/sse"
)

// A pull keeps one stream of a feed coming: it connects, hands on what comes,
// and connects again where it left off.
type pull struct {
	// static after construction
	source *Source
	topic  string // where all events go; "" = each names its own
	urls   []string
	log    *slog.Logger
	level  slog.Level          // of what is ordinary for a feed
	moved  func(cursor string) // told of the cursor after each event; nil = nobody asks
	opened func()              // told of each connection made; not nil means that somebody waits for the first

	// owned by the goroutine in run
	url     int // of urls, to try next
	tried   int // of urls, in vain since the last wait
	backoff backoff
	cursor  string // what to resume from
	deliveryState

	decoder sse.Decoder
	chunk   []byte
}

func (s *Source) newPull(topic string, urls []string, lastEventID string) *pull {
	return &pull{
		source:  s,
		topic:   topic,
		urls:    urls,
		log:     s.Logger.With("feed", s.Name),
		level:   slog.LevelInfo,
		backoff: backoff{base: min(s.Retry, s.MaxRetry), most: s.MaxRetry},
		cursor:  lastEventID,
		decoder: sse.Decoder{MaxEvent: s.MaxEvent, SkipLarge: true},
		deliveryState: deliveryState{
			repeats: newRepeats(),
			topics:  make(map[string]bool),
		},
	}
}

// run pulls until ctx ends or the feed has, and says why. Where somebody waits
// for it to open, it also returns the origin's answer that ends their waiting.
func (p *pull) run(ctx context.Context) error {
	for {
		err := p.stream(ctx)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if p.final(ctx, err) {
			return err
		}
		wait, now := p.wait(err)
		if now {
			continue
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}

// final reports whether there is nothing to try again.
func (p *pull) final(ctx context.Context, err error) bool {
	var status *StatusError
	if errors.As(err, &status) && p.opened != nil && !p.everOpen {
		switch status.Status {
		case 204, 401, 403, 404, 410:
			return true // for those who wait to hear
		}
	}
	switch {
	case errors.Is(err, errTopicEnded):
		p.log.Log(ctx, p.level, "feed stopped: its topic has ended here")
		return true
	case errors.Is(err, errEnded), status != nil && status.Status == 204:
		// Only when the end is committed too: else the origin says it again.
		if p.topic != "" {
			if err := p.source.Sink.End(ctx, p.topic); err != nil {
				p.log.Warn("end of feed not committed", "error", err)
				return false
			}
		}
		p.log.Log(ctx, p.level, "feed ended by its origin")
		return true
	}
	return false
}

// wait says how long to wait after err, or that another URL is to be tried now.
func (p *pull) wait(err error) (wait time.Duration, now bool) {
	served := p.served
	if served {
		p.backoff.succeeded()
		p.tried = 0
	} else {
		p.url = (p.url + 1) % len(p.urls)
		p.tried++
	}
	level := p.level
	if !served && level == slog.LevelInfo {
		level = slog.LevelWarn
	}
	p.log.Log(context.Background(), level, "feed interrupted", "error", reason(err), "resume", p.cursor)
	if !served && p.tried < len(p.urls) {
		return 0, true
	}
	p.tried = 0
	wait = p.backoff.next(random)
	var status *StatusError
	if errors.As(err, &status) {
		wait = max(wait, min(status.after, p.backoff.most))
	}
	return wait, false
}

// reason leaves the URL out of an HTTP client's error: it may name a topic or
// hold a secret.
func reason(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// stream makes one connection and hands on what it brings until it ends, and
// says why it did: never nil.
func (p *pull) stream(ctx context.Context) error {
	metrics := p.source.Metrics
	p.served = false
	resume := p.cursor
	if !sendable(resume) {
		resume = ""
	}
	began := time.Now()
	c, err := p.source.connect(ctx, p.urls[p.url], resume)
	if err != nil {
		if ctx.Err() == nil {
			metrics.attempt(err)
		}
		return err
	}
	defer c.close()
	metrics.attempt(nil)
	metrics.open.Inc()
	defer metrics.open.Dec()
	p.log.Log(ctx, p.level, "feed open", "resume", resume)

	p.decoder.Reset(p.cursor)
	if err := p.begin(ctx, resume != ""); err != nil {
		return err
	}
	if p.opened != nil {
		p.opened()
	}
	err = p.read(ctx, c)
	// An origin that answers and hangs up at once, without an event, is one
	// to wait for ever longer.
	p.served = p.served || time.Since(began) > p.source.MaxRetry
	return err
}

// read hands on what the connection brings until it ends.
func (p *pull) read(ctx context.Context, r io.Reader) error {
	if p.chunk == nil {
		p.chunk = make([]byte, 16<<10)
	}
	var ev sse.Event
	for {
		n, err := r.Read(p.chunk)
		p.source.Metrics.bytes.Add(float64(n))
		p.decoder.Feed(p.chunk[:n])
		for p.decoder.Next(&ev) {
			if err := p.leftOut(ctx); err != nil {
				return err
			}
			if err := p.deliver(ctx, &ev); err != nil {
				return err
			}
		}
		if err := p.leftOut(ctx); err != nil {
			return err
		}
		p.follow() // an id may have come without an event
		if base, ok := p.decoder.Retry(); ok {
			p.backoff.rebase(base)
		}
		if err != nil {
			return err
		}
	}
}

// advance makes the cursor what the stream has said last.
func (p *pull) advance() {
	p.cursor = p.decoder.LastEventID()
	if p.moved != nil {
		p.moved(p.cursor)
	}
}

// sendable reports whether an id can be the value of a header (RFC 9110,
// section 5.5). It goes out as it is or not at all.
func sendable(id string) bool {
	const most = 8 << 10 // what servers take as a header
	for i := 0; i < len(id); i++ {
		if id[i] < ' ' && id[i] != '\t' || id[i] == 0x7f {
			return false
		}
	}
	return len(id) <= most
}
