package h3

import (
	"net"
	"os"
	"syscall"
)

// bufferBytes is what quic-go wants a socket to hold in each direction. One socket serves everybody:
// with the kernel's default of some 200 KiB a burst of acknowledgements is lost in it.
const bufferBytes = 7 << 20

// adviseBuffers raises the socket's buffers as far as allowed, and says how to allow more where that
// is not enough.
func (s *Server) adviseBuffers(packets net.PacketConn) {
	// quic-go would print its own advice besides, through another logger.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	udp, ok := packets.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
		SyscallConn() (syscall.RawConn, error)
	})
	if !ok {
		return
	}
	_ = udp.SetReadBuffer(bufferBytes) // what we get is looked at below
	_ = udp.SetWriteBuffer(bufferBytes)
	raw, err := udp.SyscallConn()
	if err != nil {
		return
	}
	receive, send, ok := raiseBuffers(raw, bufferBytes)
	if ok && (receive < bufferBytes || send < bufferBytes) {
		s.log.Warn("UDP socket buffers are smaller than HTTP/3 needs under load; raise net.core.rmem_max and net.core.wmem_max",
			"address", packets.LocalAddr(), "receive_bytes", receive, "send_bytes", send, "wanted_bytes", bufferBytes)
	}
}
