package h2

import (
	"encoding/binary"
	"errors"

	"golang.org/x/net/http2"
)

const (
	frameHead = 9         // octets of a frame's header
	maxFrame  = 16384     // octets of payload that we take: SETTINGS_MAX_FRAME_SIZE as it is at first
	maxWindow = 1<<31 - 1 // RFC 9113 6.9.1
	maxID     = 1<<31 - 1

	// firstWindow is a window's size until SETTINGS or WINDOW_UPDATE change it.
	firstWindow = 65535
)

var errShortFrame = errors.New("frame is shorter than its fields")

// A head is a decoded frame header.
type head struct {
	length uint32
	kind   http2.FrameType
	flags  http2.Flags
	id     uint32
}

func parseHead(b *[frameHead]byte) head {
	return head{
		length: uint32(b[0])<<16 | uint32(b[1])<<8 | uint32(b[2]),
		kind:   http2.FrameType(b[3]),
		flags:  http2.Flags(b[4]),
		id:     binary.BigEndian.Uint32(b[5:]) & maxID,
	}
}

func appendHead(dst []byte, length int, kind http2.FrameType, flags http2.Flags, id uint32) []byte {
	return append(dst, byte(length>>16), byte(length>>8), byte(length), byte(kind), byte(flags),
		byte(id>>24), byte(id>>16), byte(id>>8), byte(id))
}

func appendReset(dst []byte, id uint32, code http2.ErrCode) []byte {
	dst = appendHead(dst, 4, http2.FrameRSTStream, 0, id)
	return binary.BigEndian.AppendUint32(dst, uint32(code))
}

func appendUpdate(dst []byte, id uint32, increment int32) []byte {
	dst = appendHead(dst, 4, http2.FrameWindowUpdate, 0, id)
	return binary.BigEndian.AppendUint32(dst, uint32(increment))
}

func appendGoAway(dst []byte, last uint32, code http2.ErrCode, reason string) []byte {
	dst = appendHead(dst, 8+len(reason), http2.FrameGoAway, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, last)
	dst = binary.BigEndian.AppendUint32(dst, uint32(code))
	return append(dst, reason...)
}

func appendSetting(dst []byte, id http2.SettingID, v uint32) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(id))
	return binary.BigEndian.AppendUint32(dst, v)
}

// unpad returns what is between the pad length and the padding of a HEADERS payload.
func unpad(p []byte) ([]byte, bool) {
	if len(p) == 0 || int(p[0]) >= len(p) {
		return nil, false
	}
	return p[1 : len(p)-int(p[0])], true
}
