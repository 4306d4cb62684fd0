package origin

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A StatusError is an origin's answer that is not a stream.
type StatusError struct {
	Status int
	after  time.Duration // its Retry-After
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("origin answered %d %s", e.Status, http.StatusText(e.Status))
}

// HTTPStatus returns the status.
func (e *StatusError) HTTPStatus() int { return e.Status }

// A notStreamError says why an answer of 200 is no event stream after all.
type notStreamError string

func (e notStreamError) Error() string { return string(e) }

var (
	errIdle  = errors.New("silent for longer than idle_timeout")
	errEnded = errors.New("the origin has ended the feed")
)

// newTransport returns what connects to origins.
func newTransport(config *tls.Config) *http.Transport {
	if config != nil {
		config = config.Clone() // the transport adds to it
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        config,
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		DisableCompression:     true, // connect asks for gzip itself, to see what arrives before it is inflated
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    64,
		IdleConnTimeout:        90 * time.Second,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
	}
}

// A connection is one answer of an origin that is a stream.
type connection struct {
	io.Reader // the stream, inflated
	body      io.Closer
	cancel    context.CancelCauseFunc
	idle      *time.Timer
}

// connect asks for the stream, and returns it once the answer's header is here.
// From the request on it is cut, with errIdle, whenever nothing comes for
// longer than the idle timeout.
func (s *Source) connect(ctx context.Context, url, lastEventID string) (*connection, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	c := &connection{cancel: cancel}
	c.idle = time.AfterFunc(s.IdleTimeout, func() { cancel(errIdle) })
	resp, err := s.request(ctx, url, lastEventID)
	if err == nil {
		c.body = resp.Body
		err = checkResponse(resp)
	}
	if err == nil {
		err = c.inflate(resp.Header.Get("Content-Encoding"), idleReader{ctx, resp.Body, c.idle, s.IdleTimeout})
	}
	if err != nil {
		if context.Cause(ctx) == errIdle {
			err = errIdle
		}
		c.close()
		return nil, err
	}
	return c, nil
}

func (s *Source) request(ctx context.Context, url, lastEventID string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "freshet")
	for name, values := range s.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if host := req.Header.Get("Host"); host != "" {
		req.Host = host
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "gzip")
	req.Header.Set("Cache-Control", "no-store")
	if lastEventID != "" {
		req.Header.Set("Last-Event-ID", lastEventID)
	}
	return s.client.Do(req)
}

// checkResponse holds the answer to WHATWG HTML 9.2.3: status 200, and the
// media type.
func checkResponse(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		e := &StatusError{Status: resp.StatusCode}
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.after = time.Duration(min(seconds, 3600)) * time.Second
		}
		return e
	}
	kind := resp.Header.Get("Content-Type")
	if parsed, _, err := mime.ParseMediaType(kind); err != nil || parsed != "text/event-stream" {
		return notStreamError(fmt.Sprintf("origin answered with content type %q, not text/event-stream", kind))
	}
	return nil
}

// inflate sets the reader for the answer's content coding.
func (c *connection) inflate(coding string, body io.Reader) error {
	switch strings.ToLower(coding) {
	case "", "identity":
		c.Reader = body
	case "gzip", "x-gzip":
		c.Reader = &gzipReader{body: body}
	default:
		return notStreamError(fmt.Sprintf("origin answered with content encoding %q, only gzip was offered", coding))
	}
	return nil
}

// close gives the connection up.
func (c *connection) close() {
	c.idle.Stop()
	c.cancel(nil)
	if c.body != nil {
		c.body.Close()
	}
}

// gzipReader waits for the gzip header not before the first Read, for an origin
// may send it with its first event.
type gzipReader struct {
	body io.Reader
	zip  *gzip.Reader
}

func (g *gzipReader) Read(p []byte) (n int, err error) {
	if g.zip == nil {
		if g.zip, err = gzip.NewReader(g.body); err != nil {
			g.zip = nil
			return 0, err
		}
	}
	return g.zip.Read(p)
}

// idleReader lets the timer run only while it waits for the origin: the time
// that the events' sink takes is not the origin's silence. It reads what comes
// over the wire, where a heartbeat may be bytes that inflate to nothing.
type idleReader struct {
	ctx     context.Context
	body    io.Reader
	timer   *time.Timer
	timeout time.Duration
}

func (r idleReader) Read(p []byte) (int, error) {
	r.timer.Reset(r.timeout)
	n, err := r.body.Read(p)
	r.timer.Stop()
	if err != nil && context.Cause(r.ctx) == errIdle {
		err = errIdle
	}
	return n, err
}
