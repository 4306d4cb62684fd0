// Package gzipstream is the gzip form of one subscriber's stream: which bytes
// come next, given the log and the subscriber's place in it. It is a state
// machine without I/O, of two bytes beside its checksum, and holds no compressor.
//
//	header ─▶ out of step ──── window bytes of the log's text ───▶ in step
//	          stored blocks        in unbroken order               the log's own blocks,
//	               ▲                                               the same for everybody
//	               └──────────────── private text ◀───────────────────┘
//
// One gzip member lasts as long as the stream (RFC 1952). In it, text of the
// subscriber's own (the opening block, a gap, the end) goes out in stored blocks
// (RFC 1951, section 3.2.4), and so does the log's text until the subscriber is
// in step. From then on it gets the blocks that the log made once for all.
// A heartbeat is an empty stored block. It adds no text: a comment line would,
// and would put the subscriber out of step.
//
// Whatever is sent ends in an empty stored block: it lets the next block begin at
// a byte, and decoders give out what they have when they see one; some, Go's for
// one, not before.
//
// # Why a decoder is never referred to text that it does not have
//
// A block of the log may refer back across block borders: to what the decoder
// made of the bytes before, whoever sent them. It was made with nothing before it
// but the last need bytes of the log's text before its event, need being kept
// with the event and at most the window. So it decodes to the event for
// everybody whose last need bytes of output are the log's last need bytes
// before that event, and whose own text further back does not matter.
//
// A Stream's own counts how many of the last bytes of its output are the log's
// last before the cursor. It says so by these rules, and there is no other way to
// add to the output or to move the cursor:
//
//   - at first, and after private text, it is 0, which claims nothing;
//   - if the cursor moves without its text (lapped), it is 0;
//   - if the log's events from the cursor on are sent, in whichever form, and the
//     cursor is moved behind them, their length is added. What was true before
//     stays true: the output and the log have grown by the same bytes. It
//     stops at mostOwn, no less than any window, because more is never asked;
//   - empty blocks change neither output nor cursor.
//
// The log gives out blocks only to who has own >= need, for the first event of a
// run; for the others it has own + the text before them in the run, or the
// window. An event that is sent in parts is in one form from the first part to
// the last: the rest is held, or the form is the stored one, which is a function
// of the text alone and can be made again from any offset. What is held is sent
// before anything else.
//
// # The end
//
// A gzip member ends with a CRC-32 and length of all its text. Neither is
// counted per event: see ringbuf.Sum. A stream that ends in order has its trailer,
// except if the subscriber was lapped: the sum of what it missed is gone with the
// text. Such a stream, and one that is cut, ends as a download does that broke
// off.
package gzipstream
