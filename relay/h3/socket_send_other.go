//go:build !linux

package h3

import "net"

// concurrent returns packets: there is no better here.
func concurrent(packets net.PacketConn) net.PacketConn { return packets }
