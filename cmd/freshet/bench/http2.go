//go:build linux

package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// http2 is the client's side of one HTTP/2 connection with many streams, without I/O. Its windows are as wide as
// the protocol allows and opened again when half is used, so that flow control never holds the server back.
type http2 struct {
	scheme, authority string
	paths             []string // stream i asks for paths[i%len(paths)]
	subscribers       []subscriber

	rest        []byte // of a frame whose end has not come yet
	decoder     *hpack.Decoder
	status      string // of the header block being decoded
	block       []byte // of a header block whose END_HEADERS has not come yet
	settled     bool   // the server's SETTINGS came and the requests went out
	unreturned  int    // bytes of the connection's window not given back yet
	returnSizes []int  // the same for each stream
}

const (
	frameHead     = 9
	widestWindow  = 1<<31 - 1
	defaultWindow = 65535 // initial window, RFC 9113 6.9.2
	returnAfter   = 1 << 29
)

func newHTTP2(scheme, authority string, paths []string, subscribers []subscriber) *http2 {
	c := &http2{scheme: scheme, authority: authority, paths: paths, subscribers: subscribers, returnSizes: make([]int, len(subscribers))}
	c.decoder = hpack.NewDecoder(4096, func(f hpack.HeaderField) {
		if f.Name == ":status" {
			c.status = f.Value
		}
	})
	return c
}

// appendRequests appends the preface; the requests follow when the server has said how many streams it takes.
func (c *http2) appendRequests(dst []byte) []byte {
	var out bytes.Buffer
	framer := xhttp2.NewFramer(&out, nil)
	out.WriteString(xhttp2.ClientPreface)
	framer.WriteSettings(
		xhttp2.Setting{ID: xhttp2.SettingEnablePush, Val: 0},
		xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: widestWindow})
	framer.WriteWindowUpdate(0, widestWindow-defaultWindow)
	return append(dst, out.Bytes()...)
}

// receive takes the next bytes from the server and returns what is to be sent in answer.
func (c *http2) receive(p []byte, now int64, t *tally) (reply []byte, err error) {
	if len(c.rest) > 0 {
		c.rest = append(c.rest, p...)
		p = c.rest
	}
	for len(p) >= frameHead {
		length := int(p[0])<<16 | int(p[1])<<8 | int(p[2])
		if len(p) < frameHead+length {
			break
		}
		kind, flags := xhttp2.FrameType(p[3]), xhttp2.Flags(p[4])
		stream := binary.BigEndian.Uint32(p[5:]) &^ (1 << 31)
		payload := p[frameHead : frameHead+length]
		p = p[frameHead+length:]
		if kind == xhttp2.FrameData {
			reply, err = c.data(reply, stream, flags, payload, now, t)
		} else {
			reply, err = c.frame(reply, kind, flags, stream, payload)
		}
		if err != nil {
			return reply, err
		}
	}
	c.rest = append(c.rest[:0], p...)
	return reply, nil
}

func (c *http2) data(reply []byte, stream uint32, flags xhttp2.Flags, payload []byte, now int64, t *tally) ([]byte, error) {
	i := int(stream-1) / 2
	if stream%2 == 0 || i >= len(c.subscribers) {
		return reply, fmt.Errorf("DATA on stream %d, which nobody opened", stream)
	}
	if flags.Has(xhttp2.FlagDataPadded) {
		return reply, errors.New("a padded DATA frame, which this client does not expect")
	}
	if err := c.subscribers[i].receive(payload, now, t); err != nil {
		return reply, fmt.Errorf("stream %d: %w", stream, err)
	}
	if flags.Has(xhttp2.FlagDataEndStream) {
		return reply, errBodyEnded
	}
	c.unreturned += len(payload)
	if c.unreturned > returnAfter {
		reply = appendWindowUpdate(reply, 0, c.unreturned)
		c.unreturned = 0
	}
	c.returnSizes[i] += len(payload)
	if c.returnSizes[i] > returnAfter {
		reply = appendWindowUpdate(reply, stream, c.returnSizes[i])
		c.returnSizes[i] = 0
	}
	return reply, nil
}

func (c *http2) frame(reply []byte, kind xhttp2.FrameType, flags xhttp2.Flags, stream uint32, payload []byte) ([]byte, error) {
	switch kind {
	case xhttp2.FrameSettings:
		if flags.Has(xhttp2.FlagSettingsAck) {
			return reply, nil
		}
		reply = append(reply, 0, 0, 0, byte(xhttp2.FrameSettings), byte(xhttp2.FlagSettingsAck), 0, 0, 0, 0)
		if c.settled {
			return reply, nil
		}
		c.settled = true
		return c.appendStreams(reply, payload)
	case xhttp2.FramePing:
		if flags.Has(xhttp2.FlagPingAck) {
			return reply, nil
		}
		reply = append(reply, 0, 0, byte(len(payload)), byte(xhttp2.FramePing), byte(xhttp2.FlagPingAck), 0, 0, 0, 0)
		return append(reply, payload...), nil
	case xhttp2.FrameHeaders, xhttp2.FrameContinuation:
		return reply, c.headers(stream, flags, payload)
	case xhttp2.FrameRSTStream:
		return reply, fmt.Errorf("the server reset stream %d: %v", stream, xhttp2.ErrCode(binary.BigEndian.Uint32(payload)))
	case xhttp2.FrameGoAway:
		return reply, fmt.Errorf("the server said GOAWAY: %v", xhttp2.ErrCode(binary.BigEndian.Uint32(payload[4:])))
	}
	return reply, nil
}

// appendStreams opens every stream, once the server's settings tell that it takes so many.
func (c *http2) appendStreams(reply, settings []byte) ([]byte, error) {
	for s := settings; len(s) >= 6; s = s[6:] {
		if xhttp2.SettingID(binary.BigEndian.Uint16(s)) != xhttp2.SettingMaxConcurrentStreams {
			continue
		}
		if most := binary.BigEndian.Uint32(s[2:]); uint64(most) < uint64(len(c.subscribers)) {
			return reply, fmt.Errorf("the server takes %d streams a connection, %d were asked for", most, len(c.subscribers))
		}
	}
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for i := range c.subscribers {
		block.Reset()
		fields := []hpack.HeaderField{
			{Name: ":method", Value: "GET"}, {Name: ":scheme", Value: c.scheme},
			{Name: ":authority", Value: c.authority}, {Name: ":path", Value: c.paths[i%len(c.paths)]},
			{Name: "accept", Value: "text/event-stream"},
		}
		if c.subscribers[i].packed != nil {
			fields = append(fields, hpack.HeaderField{Name: "accept-encoding", Value: "gzip"})
		}
		for _, f := range fields {
			if err := encoder.WriteField(f); err != nil {
				return reply, err
			}
		}
		n := block.Len()
		reply = append(reply, byte(n>>16), byte(n>>8), byte(n), byte(xhttp2.FrameHeaders), byte(xhttp2.FlagHeadersEndHeaders|xhttp2.FlagHeadersEndStream))
		reply = binary.BigEndian.AppendUint32(reply, uint32(2*i+1))
		reply = append(reply, block.Bytes()...)
	}
	return reply, nil
}

func (c *http2) headers(stream uint32, flags xhttp2.Flags, payload []byte) error {
	c.block = append(c.block, payload...)
	if !flags.Has(xhttp2.FlagHeadersEndHeaders) {
		return nil
	}
	c.status = ""
	if _, err := c.decoder.Write(c.block); err != nil {
		return fmt.Errorf("header block of stream %d: %w", stream, err)
	}
	if err := c.decoder.Close(); err != nil {
		return fmt.Errorf("header block of stream %d: %w", stream, err)
	}
	c.block = c.block[:0]
	if c.status != "200" {
		return fmt.Errorf("the server answered stream %d with status %q", stream, c.status)
	}
	if flags.Has(xhttp2.FlagHeadersEndStream) {
		return errBodyEnded
	}
	return nil
}

func appendWindowUpdate(dst []byte, stream uint32, n int) []byte {
	dst = append(dst, 0, 0, 4, byte(xhttp2.FrameWindowUpdate), 0)
	dst = binary.BigEndian.AppendUint32(dst, stream)
	return binary.BigEndian.AppendUint32(dst, uint32(n))
}
