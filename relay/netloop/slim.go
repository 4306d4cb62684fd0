package netloop

import (
	"bytes"
	"crypto/tls"
	"reflect"
	"slices"
	"unsafe"
)

// slim drops what the handshake has left in c. A tls.Conn keeps the buffers that the ClientHello was
// read into for its whole life, 3.5 KiB with today's key shares, which is a third of all that
// an idle connection costs. There is no way to ask it to let go of them.
//
// It may be called only while nobody else uses c. A Go release whose tls.Conn has other
// fields makes it do nothing, and TestSlim fail.
func slim(c *tls.Conn) {
	if tlsBuffers.hand < 0 || tlsBuffers.raw < 0 {
		return
	}
	at := unsafe.Pointer(c)
	for _, offset := range [...]int{tlsBuffers.hand, tlsBuffers.raw} {
		b := (*bytes.Buffer)(unsafe.Add(at, offset))
		// What the client sent right after its Finished is in there already.
		*b = *bytes.NewBuffer(slices.Clone(b.Bytes()))
	}
}

// tlsBuffers are the places in a tls.Conn of messages and of records that were read, negative if
// it has no such field.
var tlsBuffers = struct{ hand, raw int }{
	hand: bufferIn(reflect.TypeFor[tls.Conn](), "hand"),
	raw:  bufferIn(reflect.TypeFor[tls.Conn](), "rawInput"),
}

func bufferIn(t reflect.Type, name string) int {
	f, ok := t.FieldByName(name)
	if !ok || len(f.Index) != 1 || f.Type != reflect.TypeFor[bytes.Buffer]() {
		return -1
	}
	return int(f.Offset)
}
