// Package ringbuf is the log of one topic: a bounded, append-only, in-memory
// sequence of Server-Sent Events that any number of readers pull from.
//
//	         first                                       head
//	           |                                           |
//	segments   [e e e e e e e][e e e e e e e e e e][e e e e . . .]
//	 dropped        ^                  ^                  ^  appender
//	 whole from   oldest             Cursor               writes here
//	 this end     (exact bound)      (one number)
//
// An event is stored in the form in which it goes over the wire, and those
// bytes never change: a reader gets slices of the log itself, without a copy
// and without a lock. Below its bytes each segment keeps a few bytes per event:
// where it ends, where its id line begins, when it was committed.
//
// A [Position] names an event for ever: epoch and sequence. Sequences go on
// across epochs; the lineage says at which sequence each epoch began. An event
// also has an id, as seen in its "id:" line: the origin's own where that is
// usable and names no other event here, else the position's text. A lookup of
// either is constant time.
//
// A [Cursor] is a sequence number and nothing else. It holds no pointer, so a
// reader that stalls pins no memory; once its place has been dropped the next
// read says how many events were lost. Whoever waits for events registers a
// [Waker], which is told that there is something new, never what.
//
// Beside its bytes an event may have a compressed form, made once while somebody
// asks for it ([Ring.StartDeflated]): deflate blocks that refer to nothing but the
// last few KiB of this log's own text, so that all who have got these can share them.
// A [Deflater] makes it for any number of rings, within a budget.
//
// Who owns what: the package starts no goroutine and reads no clock. Methods that
// change the ring (Append, AppendAll, Begin, Expire, Trim, Forget, Recall, Watch,
// StartDeflated) take a mutex and may be called from anywhere. Methods that read it take none, never
// wait for a writer, and on the path from ring to socket allocate nothing.
//
// Promised: the bounds of [Limits] are exact at every moment (memory lags behind by
// at most one segment); what is evicted stays findable as such; head, lineage and
// the id of the newest event outlive the events. Not promised: that an event is
// whole or harmless as SSE. Its body is taken as it comes.
package ringbuf
