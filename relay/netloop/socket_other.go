//go:build !linux

package netloop

import (
	"errors"
	"net"
	"syscall"
	"time"
)

// setSocketOptions sets what package net can set everywhere.
func setSocketOptions(nc net.Conn, unsent int, unacknowledged time.Duration) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.SetNoDelay(true)
	}
}

// descriptors is the process's limit on open files, 0 if unknown.
func descriptors() int { return 0 }

// outOfDescriptors reports whether err says that the process or the system has no descriptor left.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
