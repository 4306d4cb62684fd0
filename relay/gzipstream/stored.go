package gzipstream

import "encoding/binary"

// The stored form of a text: stored blocks, and an empty one.
//
//	[0 len ^len text...][0 len ^len text...][0 0 ^0]
//
// It is a function of the text, so that any part of it can be made at any time.
const (
	blockHead = 5     // bytes: a byte of flags, the length, and its complement (RFC 1951, section 3.2.4)
	blockMost = 65535 // bytes of text
)

// storedLen returns the length of the stored form of a text of n bytes.
func storedLen(n int) int {
	return n + (n+blockMost-1)/blockMost*blockHead + len(empty)
}

// appendStored appends bytes from to to of the stored form of text.
func appendStored(dst, text []byte, from, to int) []byte {
	for texts := storedLen(len(text)) - len(empty); from < to; {
		if from >= texts {
			return append(dst, empty[from-texts:to-texts]...)
		}
		at := from / (blockHead + blockMost) * blockMost
		block := text[at:min(at+blockMost, len(text))]
		offset := from % (blockHead + blockMost)
		n := len(dst)
		if offset < blockHead {
			head := binary.LittleEndian.AppendUint16([]byte{0}, uint16(len(block)))
			head = binary.LittleEndian.AppendUint16(head, ^uint16(len(block)))
			dst = append(dst, head[offset:min(blockHead, offset+to-from)]...)
		} else {
			offset -= blockHead
			dst = append(dst, block[offset:min(len(block), offset+to-from)]...)
		}
		from += len(dst) - n
	}
	return dst
}
