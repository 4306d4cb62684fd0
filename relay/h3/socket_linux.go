package h3

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// raiseBuffers tries to go beyond the limits, which takes CAP_NET_ADMIN, and returns what the buffers
// are. The kernel doubles what is asked for, for its own bookkeeping.
func raiseBuffers(raw syscall.RawConn, want int) (receive, send int, ok bool) {
	err := raw.Control(func(fd uintptr) {
		size := func(option, force int) int {
			n, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option)
			if err == nil && n < want {
				_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, force, want)
				n, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, option)
			}
			ok = ok || err == nil
			return n
		}
		receive = size(unix.SO_RCVBUF, unix.SO_RCVBUFFORCE)
		send = size(unix.SO_SNDBUF, unix.SO_SNDBUFFORCE)
	})
	return receive, send, ok && err == nil
}
