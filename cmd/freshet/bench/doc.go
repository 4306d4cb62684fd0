// Package bench is an open-loop load generator for Server-Sent Events.
//
//	          one goroutine                       one goroutine a core
//	schedule ──> publisher ──POST──> relay ──SSE──> poller ──> connection ──> subscriber
//	(send times                                     (epoll)    (h1, h2:       (expected sequence,
//	 fixed ahead)                                               no I/O)        latency)
//
// Open loop: an event's send time is fixed by the rate before the run begins and travels inside the event, so a
// relay that stalls is charged for the whole stall and not only for the requests that the stall let through.
//
// Every subscriber checks every event: the sequence numbers must come one after the other, from the first to the
// last that was published. What is lost, doubled or out of order is counted apart, never averaged away.
//
// A compressed stream is read by its framing: which blocks are an event each, and where text stands as it is. So
// ten thousand cost little; one in a hundred is decompressed at the end and checked like any other.
//
// It runs on Linux only: the pollers are epoll, and a server's CPU and memory are read from /proc.
//
// A subscriber is a few words and no goroutine; a connection is a state machine fed by its core's poller. So the
// generator costs less than what it measures, and prints its own CPU beside the server's to show it.
package bench
