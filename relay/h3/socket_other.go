//go:build !linux

package h3

import "syscall"

// raiseBuffers does not know.
func raiseBuffers(syscall.RawConn, int) (receive, send int, ok bool) { return 0, 0, false }
