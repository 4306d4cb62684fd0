package h2

import "golang.org/x/net/http2"

// An Error ended a connection.
type Error struct {
	Code   http2.ErrCode // as sent in GOAWAY
	Reason string        // what the peer did and, if one was hit, the limit; sent along as debug data
}

func (e *Error) Error() string { return "h2: " + e.Code.String() + ": " + e.Reason }

// errClosed is what Receive returns after Close.
var errClosed = &Error{Code: http2.ErrCodeNo, Reason: "connection is closed"}
