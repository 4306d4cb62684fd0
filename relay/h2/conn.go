package h2

import (
	"encoding/binary"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A Conn is one connection. All of it is owned by the loop.
type Conn struct {
	// Static after construction.
	scratch *Scratch
	handler Handler

	// What is being received.
	carry      []byte          // header block or control frame begun; nil between them
	base       uint32          // octets of carry that finished frames of the block left
	left       uint32          // octets of the frame that are still to come
	continuing uint32          // stream whose header block goes on in CONTINUATION; 0: none
	head       [frameHead]byte // of the frame
	have       uint8           // octets of head, or of the client preface, that are here
	phase      phase
	padding    int16          // of the DATA frame; padUnread: its length is the next octet
	blockFlags http2.Flags    // of the HEADERS frame that began the block
	settled    bool           // the peer's first SETTINGS are here
	acked      bool           // the peer has acknowledged ours
	tableless  bool           // and said that it gave up its dynamic table; scratch.plain decodes
	decoder    *hpack.Decoder // until tableless, and only if needed

	// Streams.
	streams streams
	recent  recent
	lastID  uint32 // highest id seen
	taken   uint32 // highest id that was not refused: what GOAWAY names

	// Windows, in octets.
	send    int32  // ours for DATA
	sendNew int32  // that of a new stream: the peer's SETTINGS_INITIAL_WINDOW_SIZE
	sendMax uint32 // the peer's SETTINGS_MAX_FRAME_SIZE
	starved uint32 // streams whose window was found closed
	turn    uint32 // id of the stream that was last told of an open window
	recv    int32  // the peer's for DATA
	credit  int32  // consumed and not yet given back to recv
	recvNew int32  // a new stream's recv

	// The end.
	leaving    leaving
	peerLeaves bool  // the peer said GOAWAY
	err        error // what every Receive returns from now on

	// Answers.
	out    []byte // nil when empty
	second uint32 // when the budgets were last filled up
	budget [budgets]int32
}

// phase is what the next octet received belongs to.
type phase uint8

const (
	inPreface phase = iota
	inHead
	inData
	inFrame // gathered in carry
	inSkip  // dropped
)

// leaving is how far our own graceful end is.
type leaving uint8

const (
	staying   leaving = iota
	announced         // GOAWAY that refuses nothing was sent, and a PING
	refusing          // GOAWAY with the last stream was sent
)

// shutdownPing is the data of the PING whose return says that whatever the peer
// sent before it knew of our GOAWAY is here: ASCII "freshet!".
const shutdownPing uint64 = 0x6672657368657421

// New returns a connection whose client preface is still to come. Our SETTINGS are in Output.
func New(scratch *Scratch, h Handler) *Conn {
	l := &scratch.limits
	c := &Conn{
		scratch: scratch,
		handler: h,
		send:    firstWindow,
		sendNew: firstWindow,
		sendMax: maxFrame,
		recv:    firstWindow,
		recvNew: firstWindow,
	}
	for i := range c.budget {
		c.budget[i] = int32(l.budget[i].Burst)
	}
	settings := [...]http2.Setting{
		{ID: http2.SettingHeaderTableSize, Val: 0},
		{ID: http2.SettingMaxConcurrentStreams, Val: uint32(l.streams)},
		{ID: http2.SettingInitialWindowSize, Val: uint32(l.streamWindow)},
		{ID: http2.SettingMaxHeaderListSize, Val: l.headerList},
		{ID: http2.SettingNoRFC7540Priorities, Val: 1},
	}
	c.out = make([]byte, 0, 64)
	c.out = appendHead(c.out, 6*len(settings), http2.FrameSettings, 0, 0)
	for _, s := range settings {
		c.out = appendSetting(c.out, s.ID, s.Val)
	}
	if more := l.connWindow - firstWindow; more > 0 {
		c.out = appendUpdate(c.out, 0, more)
		c.recv += more
	}
	return c
}

// Output is what is to be sent next. It is valid until the next call of a method of the
// Conn or of its streams.
func (c *Conn) Output() []byte { return c.out }

// Flushed drops the first n octets of Output.
func (c *Conn) Flushed(n int) {
	if n == len(c.out) {
		c.out = nil
		return
	}
	c.out = c.out[n:]
}

// Ready reports whether the client's preface, which ends with its first SETTINGS, is here.
func (c *Conn) Ready() bool { return c.settled }

// Partial reports whether the rest of a header block or of a frame other than DATA is owed.
func (c *Conn) Partial() bool {
	return c.have > 0 || c.continuing != 0 || c.phase == inFrame || c.phase == inSkip || c.phase == inPreface
}

// Streams is the number of open streams.
func (c *Conn) Streams() int { return len(c.streams) }

// Each calls f for every open stream in order of their ids. f may end any stream.
func (c *Conn) Each(f func(*Stream)) {
	for id := uint32(0); ; {
		i := c.streams.from(id)
		if i == len(c.streams) {
			return
		}
		s := c.streams[i]
		id = s.id + 1
		f(s)
	}
}

// Shutdown begins a graceful end (RFC 9113 6.8): GOAWAY that refuses no stream, and a
// PING. When that comes back, GOAWAY with the last stream that counts follows, and later ones are
// ignored; the peer retries them elsewhere. A second call does not wait for the
// PING. Open streams go on; the loop ends them, and closes the connection when it is Done.
func (c *Conn) Shutdown() {
	if c.err != nil {
		return
	}
	switch c.leaving {
	case staying:
		c.leaving = announced
		c.out = appendGoAway(c.out, maxID, http2.ErrCodeNo, "")
		c.out = appendHead(c.out, 8, http2.FramePing, 0, 0)
		c.out = binary.BigEndian.AppendUint64(c.out, shutdownPing)
	case announced:
		c.leaving = refusing
		c.out = appendGoAway(c.out, c.taken, http2.ErrCodeNo, "")
	}
}

// Done reports whether a side has said GOAWAY for good and no stream is left: once Output is
// written, the connection has no further use.
func (c *Conn) Done() bool {
	return c.err != nil || (c.leaving == refusing || c.peerLeaves) && len(c.streams) == 0
}

// GoAway ends the connection as a mistake of the peer would: GOAWAY with the code and the
// reason is put into Output, and Receive fails from now on. Close is still to be called.
func (c *Conn) GoAway(code http2.ErrCode, reason string) { _ = c.fail(code, reason) }

// Close ends every stream, calls Handler.Reset for each, and sends nothing. The loop calls
// it when the transport is gone or about to be closed. Output stays as it is.
func (c *Conn) Close(code http2.ErrCode) {
	if c.err == nil {
		c.err = errClosed
	}
	c.carry, c.base, c.decoder = nil, 0, nil
	for len(c.streams) > 0 {
		s := c.streams[len(c.streams)-1]
		c.drop(s, true)
		c.handler.Reset(s, code)
	}
}

// fail ends the connection with GOAWAY. The first error stays.
func (c *Conn) fail(code http2.ErrCode, reason string) error {
	if c.err == nil {
		c.err = &Error{Code: code, Reason: reason}
		c.out = appendGoAway(c.out, c.taken, code, reason)
		c.carry, c.base, c.decoder = nil, 0, nil
	}
	return c.err
}

// drop takes a stream out of the table; ours says that its end was our doing.
func (c *Conn) drop(s *Stream, ours bool) {
	c.streams.remove(s)
	c.recent.add(s.id, ours)
	if s.is(starved) {
		c.starved--
	}
	s.flags |= closed
	if c.err == nil {
		c.giveBack(s.held())
	}
}

// fault ends a stream because of a mistake of the peer (RFC 9113 5.4.2).
func (c *Conn) fault(s *Stream, code http2.ErrCode) error {
	c.out = appendReset(c.out, s.id, code)
	c.drop(s, true)
	c.handler.Reset(s, code)
	return c.spend(resets, 1)
}

// refuse is fault for a stream that is not in the table.
func (c *Conn) refuse(id uint32, code http2.ErrCode) error {
	c.out = appendReset(c.out, id, code)
	c.recent.add(id, true)
	return c.spend(resets, 1)
}
