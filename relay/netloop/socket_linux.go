package netloop

import (
	"errors"
	"io"
	"net"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// An fdSocket is a socket that an epoll watches.
type fdSocket struct {
	fd      int
	drained bool // the last read took all there was; there will be an event when there is more
	ended   bool // the peer sent FIN or the connection broke, so read until that shows
}

func (s *fdSocket) read(p []byte) (int, error) {
	if s.drained {
		return 0, errWouldBlock
	}
	for {
		n, err := direct(unix.SYS_READ, s.fd, p)
		switch {
		case n > 0:
			s.drained = n < len(p) && !s.ended
			return n, nil
		case err == nil:
			return 0, io.EOF
		case err == unix.EAGAIN:
			return 0, errWouldBlock
		case err != unix.EINTR:
			return 0, err
		}
	}
}

func (s *fdSocket) write(p []byte) (int, error) {
	done := 0
	for {
		n, err := direct(unix.SYS_WRITE, s.fd, p[done:])
		if n > 0 {
			// A short write need not mean a full socket, but the edge that says that there is
			// room comes only after EAGAIN.
			if done += n; done == len(p) {
				return done, nil
			}
			continue
		}
		switch err {
		case unix.EAGAIN:
			return done, errWouldBlock
		case unix.EINTR:
		case nil:
			return done, io.ErrShortWrite
		default:
			return done, err
		}
	}
}

// direct makes a system call that takes p and does not block, without telling the scheduler: leaving and
// retaking the processor costs a tenth of what writing a small event does.
func direct(call uintptr, fd int, p []byte) (int, error) {
	n, _, e := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if e != 0 {
		return -1, e
	}
	return int(n), nil
}

func (s *fdSocket) closeWrite() error { return unix.Shutdown(s.fd, unix.SHUT_WR) }
func (s *fdSocket) close() error      { return unix.Close(s.fd) }

// setSocketOptions bounds what the kernel keeps for a connection: unsent bytes, and how long sent
// ones may stay unacknowledged before the connection is given up (RFC 5482). A socket that
// refuses an option, because it is not TCP, is served without.
func setSocketOptions(nc net.Conn, unsent int, unacknowledged time.Duration) {
	sc, ok := nc.(syscall.Conn)
	if !ok {
		return
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsent)
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledged.Milliseconds()))
	})
}

// descriptors is the process's limit on open files, 0 if unknown.
func descriptors() int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	return int(limit.Cur)
}

// outOfDescriptors reports whether err says that the process or the system has no descriptor left.
func outOfDescriptors(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE)
}
