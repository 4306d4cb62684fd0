//go:build linux

package bench

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// http1 is the client's side of one HTTP/1.1 connection with one stream, without I/O.
type http1 struct {
	path       string
	authority  string
	subscriber *subscriber

	state     http1State
	head      []byte // of the answer, or of a chunk, while incomplete
	chunkLeft int    // bytes left of the current chunk, its CRLF not counted
}

type http1State uint8

const (
	readingHead http1State = iota
	readingChunkSize
	readingChunk
	readingChunkEnd
	readingIdentity // no transfer coding: the body ends with the connection
)

const maxHead = 16 << 10 // bytes of an answer's head

var errBodyEnded = errors.New("the server ended the stream")

func (c *http1) appendRequests(dst []byte) []byte {
	coding := ""
	if c.subscriber.packed != nil {
		coding = "Accept-Encoding: gzip\r\n"
	}
	return fmt.Appendf(dst, "GET %s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n%s\r\n", c.path, c.authority, coding)
}

// receive takes the next bytes from the server; it has nothing to answer.
func (c *http1) receive(p []byte, now int64, t *tally) (reply []byte, err error) {
	for len(p) > 0 && err == nil {
		switch c.state {
		case readingHead:
			p, err = c.readHead(p)
		case readingChunkSize:
			p, err = c.readChunkSize(p)
		case readingChunk:
			n := min(len(p), c.chunkLeft)
			err = c.subscriber.receive(p[:n], now, t)
			p, c.chunkLeft = p[n:], c.chunkLeft-n
			if c.chunkLeft == 0 {
				c.state, c.chunkLeft = readingChunkEnd, 2
			}
		case readingChunkEnd:
			n := min(len(p), c.chunkLeft)
			p, c.chunkLeft = p[n:], c.chunkLeft-n
			if c.chunkLeft == 0 {
				c.state = readingChunkSize
			}
		case readingIdentity:
			err = c.subscriber.receive(p, now, t)
			p = nil
		}
	}
	return nil, err
}

func (c *http1) readHead(p []byte) (rest []byte, err error) {
	before := len(c.head)
	c.head = append(c.head, p...)
	end := bytes.Index(c.head, []byte("\r\n\r\n"))
	if end < 0 {
		if len(c.head) > maxHead {
			return nil, fmt.Errorf("the answer's head is over %d bytes", maxHead)
		}
		return nil, nil
	}
	head := c.head[:end]
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 200")) {
		line, _, _ := bytes.Cut(head, []byte("\r\n"))
		return nil, fmt.Errorf("the server answered %q", line)
	}
	c.state = readingIdentity
	if bytes.Contains(bytes.ToLower(head), []byte("transfer-encoding: chunked")) {
		c.state = readingChunkSize
	}
	c.head = nil
	return p[end+4-before:], nil
}

func (c *http1) readChunkSize(p []byte) (rest []byte, err error) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		c.head = append(c.head, p...)
		if len(c.head) > maxHead {
			return nil, errors.New("a chunk's size line does not end")
		}
		return nil, nil
	}
	line := p[:end]
	if len(c.head) > 0 {
		line = append(c.head, line...)
		c.head = c.head[:0]
	}
	digits, _, _ := bytes.Cut(bytes.TrimRight(line, "\r"), []byte(";"))
	size, err := strconv.ParseUint(string(digits), 16, 31)
	if err != nil {
		return nil, fmt.Errorf("a chunk's size is %q", digits)
	}
	if size == 0 {
		return nil, errBodyEnded
	}
	c.state, c.chunkLeft = readingChunk, int(size)
	return p[end+1:], nil
}
