package agree

import "freshet/ringbuf"

// Position is the place of an entry in its topic's log. Sequences go on across epochs; a new topic's first entry is 1.
type Position = ringbuf.Position

// Place is what a subscriber has seen of a log that once forked.
type Place = ringbuf.Place

// An epoch is a count that never goes back (at least the Unix time in seconds) above 16 bits that its process drew when it
// started. The count orders takeovers; the bits keep two relays that draw in the same second apart.
const nonceBits = 16

// nextEpoch is above every epoch seen so far, and never one that another process draws.
func nextEpoch(seen uint64, unix int64, nonce uint16) uint64 {
	count := max(seen>>nonceBits+1, uint64(max(unix, 0)))
	return count<<nonceBits | uint64(nonce)
}
