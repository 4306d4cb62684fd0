package h2

import (
	"encoding/binary"
	"errors"
	"time"

	"golang.org/x/net/http2"
)

// maxSettings is how many octets of SETTINGS we take in one frame: a hundred of them, of
// which there are seven.
const maxSettings = 600

const blockTooLong = "header block is longer than twice SETTINGS_MAX_HEADER_LIST_SIZE"

// Receive takes what the peer sent, cut anywhere, and calls the Handler. An error is
// final, of type *Error, and GOAWAY is in Output: write that, call Close, and close the transport.
func (c *Conn) Receive(now time.Time, p []byte) error {
	c.refill(now)
	for c.err == nil {
		var n int
		switch c.phase {
		case inPreface:
			n = c.preface(p)
		case inHead:
			n = copy(c.head[c.have:], p)
			if c.have += uint8(n); c.have == frameHead {
				c.have = 0
				_ = c.begin(parseHead(&c.head))
				p = p[n:]
				continue // a frame may be empty
			}
		case inData:
			if n = c.data(p); c.left == 0 {
				c.phase = inHead
			}
		case inFrame:
			n = c.gather(p)
		case inSkip:
			n = int(min(c.left, uint32(len(p))))
			if c.left -= uint32(n); c.left == 0 {
				c.phase = inHead
			}
		}
		if c.phase == inHead && len(c.out) > c.scratch.limits.output && c.err == nil {
			_ = c.fail(http2.ErrCodeEnhanceYourCalm, "answers are not read")
		}
		if p = p[n:]; len(p) == 0 {
			break
		}
	}
	return c.err
}

// preface takes octets of the client's preface, RFC 9113 3.4.
func (c *Conn) preface(p []byte) int {
	rest := http2.ClientPreface[c.have:]
	n := min(len(p), len(rest))
	if string(p[:n]) != rest[:n] {
		_ = c.fail(http2.ErrCodeProtocol, "no client preface")
		return n
	}
	if c.have += uint8(n); int(c.have) == len(http2.ClientPreface) {
		c.have = 0
		c.phase = inHead
	}
	return n
}

// begin decides from a frame's header what its payload is for.
func (c *Conn) begin(h head) error {
	c.left = h.length
	c.phase = inFrame
	switch {
	case h.length > maxFrame:
		return c.fail(http2.ErrCodeFrameSize, "frame is longer than SETTINGS_MAX_FRAME_SIZE, 16384")
	case !c.settled && (h.kind != http2.FrameSettings || h.flags.Has(http2.FlagSettingsAck)):
		return c.fail(http2.ErrCodeProtocol, "first frame is not SETTINGS")
	case c.continuing != 0 && (h.kind != http2.FrameContinuation || h.id != c.continuing):
		return c.fail(http2.ErrCodeProtocol, "frame within a header block")
	}

	fixed := -1
	switch h.kind {
	case http2.FrameData:
		c.phase = inData
		return c.beginData(h)
	case http2.FrameHeaders:
		if h.id&1 == 0 {
			return c.fail(http2.ErrCodeProtocol, "HEADERS on a stream that is not the client's")
		}
		if int(h.length) > c.scratch.limits.block {
			return c.fail(http2.ErrCodeEnhanceYourCalm, blockTooLong)
		}
	case http2.FrameContinuation:
		if c.continuing == 0 {
			return c.fail(http2.ErrCodeProtocol, "CONTINUATION without HEADERS")
		}
		if int(c.base)+int(h.length) > c.scratch.limits.block {
			return c.fail(http2.ErrCodeEnhanceYourCalm, blockTooLong)
		}
		if err := c.spend(control, 1); err != nil {
			return err
		}
	case http2.FrameSettings:
		if h.length > maxSettings {
			return c.fail(http2.ErrCodeEnhanceYourCalm, "more than 100 settings in a frame")
		}
	case http2.FramePushPromise:
		return c.fail(http2.ErrCodeProtocol, "PUSH_PROMISE from a client")
	case http2.FramePriority:
		fixed = 5
	case http2.FrameRSTStream, http2.FrameWindowUpdate:
		fixed = 4
	case http2.FramePing:
		fixed = 8
	case http2.FrameGoAway:
		if h.length < 8 {
			return c.fail(http2.ErrCodeFrameSize, "GOAWAY of less than 8 octets")
		}
		if h.id != 0 {
			return c.fail(http2.ErrCodeProtocol, "GOAWAY on a stream")
		}
		// Streams that we would have opened are none, so neither the last of them nor the
		// code tells us anything.
		c.peerLeaves = true
		c.phase = inSkip
		return c.spend(control, 1)
	default: // RFC 9113 5.5: what is not known is ignored
		c.phase = inSkip
		return c.spend(control, 1)
	}
	if fixed >= 0 && int(h.length) != fixed {
		return c.fail(http2.ErrCodeFrameSize, h.kind.String()+" of a wrong length")
	}
	return nil
}

// gather collects a frame's payload and hands it on when it is whole; if it is whole in p,
// without copying it.
func (c *Conn) gather(p []byte) int {
	n := int(min(c.left, uint32(len(p))))
	c.left -= uint32(n)
	payload := p[:n]
	if c.left > 0 || c.continuing != 0 || c.carry != nil {
		c.carry = append(c.carry, payload...)
		if c.left > 0 {
			return n
		}
		payload = c.carry[c.base:]
	}
	c.phase = inHead
	_ = c.frame(parseHead(&c.head), payload)
	if c.continuing == 0 {
		c.carry, c.base = nil, 0
	}
	return n
}

// frame acts on a whole frame.
func (c *Conn) frame(h head, payload []byte) error {
	switch h.kind {
	case http2.FrameHeaders:
		return c.headersFrame(h, payload)
	case http2.FrameContinuation:
		return c.continuationFrame(h)
	case http2.FrameWindowUpdate: // the one frequent frame: not worth an allocation by the Framer
		return c.windowUpdate(h.id, int32(binary.BigEndian.Uint32(payload)&maxWindow))
	}
	f, err := c.scratch.read(&c.head, payload, nil)
	if err != nil {
		return c.failReading(err)
	}
	switch f := f.(type) {
	case *http2.SettingsFrame:
		return c.settingsFrame(f)
	case *http2.PingFrame:
		return c.pingFrame(f)
	case *http2.RSTStreamFrame:
		return c.resetFrame(f)
	case *http2.PriorityFrame:
		return c.priority(f.StreamID, f.StreamDep)
	}
	return nil
}

// failReading ends the connection for an error that the Framer found.
func (c *Conn) failReading(err error) error {
	var code http2.ConnectionError
	if !errors.As(err, &code) {
		// A frame that is too short for its fields, or whose padding is too long.
		code = http2.ConnectionError(http2.ErrCodeProtocol)
	}
	reason := "invalid frame"
	if d := c.scratch.framer.ErrorDetail(); d != nil {
		reason = d.Error()
	}
	return c.fail(http2.ErrCode(code), reason)
}

func (c *Conn) pingFrame(f *http2.PingFrame) error {
	if f.IsAck() {
		if c.leaving == announced && binary.BigEndian.Uint64(f.Data[:]) == shutdownPing {
			c.Shutdown()
		}
		return c.spend(control, 1)
	}
	c.out = appendHead(c.out, len(f.Data), http2.FramePing, http2.FlagPingAck, 0)
	c.out = append(c.out, f.Data[:]...)
	return c.spend(control, 1)
}

func (c *Conn) resetFrame(f *http2.RSTStreamFrame) error {
	id := f.StreamID
	s := c.streams.find(id)
	switch {
	case s != nil:
		c.drop(s, false)
		c.handler.Reset(s, f.ErrCode)
		if !s.is(answered) {
			return c.spend(resets, 1)
		}
		return nil
	case c.idle(id):
		return c.fail(http2.ErrCodeProtocol, "RST_STREAM on an idle stream")
	}
	return c.spend(resets, 1)
}

// priority takes a dependency, of which nothing is kept: RFC 9113 deprecates it, and our SETTINGS say
// so (RFC 9218 2.1). RFC 7540 5.3.1 forbids one stream to depend on itself.
func (c *Conn) priority(id, on uint32) error {
	if id == on {
		if s := c.streams.find(id); s != nil {
			return c.fault(s, http2.ErrCodeProtocol)
		}
		return c.fail(http2.ErrCodeProtocol, "stream depends on itself")
	}
	return c.spend(control, 1)
}

// idle reports whether the stream has never been opened.
func (c *Conn) idle(id uint32) bool { return id > c.lastID || id&1 == 0 }

func (c *Conn) settingsFrame(f *http2.SettingsFrame) error {
	if f.IsAck() {
		if !c.acked {
			c.settingsAcked()
		}
		return c.spend(control, 1)
	}
	sendNew := c.sendNew
	err := f.ForeachSetting(func(s http2.Setting) error {
		switch s.ID {
		case http2.SettingInitialWindowSize:
			sendNew = int32(s.Val)
		case http2.SettingMaxFrameSize:
			c.sendMax = s.Val
		}
		return s.Valid()
	})
	if err != nil {
		return c.failReading(err)
	}
	c.settled = true
	// Acknowledged before anything is sent by the new values.
	c.out = appendHead(c.out, 0, http2.FrameSettings, http2.FlagSettingsAck, 0)
	if err := c.resizeWindows(sendNew); err != nil {
		return err
	}
	return c.spend(control, 1)
}

// settingsAcked puts our SETTINGS in force: until now the peer may not have known them.
func (c *Conn) settingsAcked() {
	c.acked = true
	c.decoder = nil // the peer's dynamic table is empty now; see useTable
	window := c.scratch.limits.streamWindow
	delta := window - c.recvNew
	c.recvNew = window
	for _, s := range c.streams {
		s.recv += delta
		s.giveBack(0) // what was too little to tell of may be all of the window now
	}
}
