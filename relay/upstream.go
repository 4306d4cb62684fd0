package relay

import "context"

// An Upstream is where the events of topics come from that are not published
// here: an origin's feed that is pulled while somebody subscribes, or another
// relay. It brings them by calling the relay's Append, Gap and End; or where there
// are Logs it has them brought there, and they come by these.
type Upstream interface {
	// Follow brings the events of topic to this relay until ctx ends, and then
	// returns. It does its own retrying.
	//
	// The relay calls it in a goroutine of its own when a topic gets its first
	// subscriber, for each topic at most once at a time, with the origin's id
	// of the newest event here, or where nothing ever came the id that this
	// subscriber resumes from; "" = there is none. The relay ends ctx
	// Topics.Linger after the last subscriber left, or when it stops itself,
	// and waits for Follow to return.
	//
	// Subscribers wait for opened to be called, for Follow to return, or for
	// five seconds, and are then answered from what the relay has of the topic.
	// opened may be called any number of times. It says that what is older is
	// here by now and what is newer will come by itself.
	//
	// A return before opened decides about those who wait. nil: the topic has
	// no upstream, and is served from what is published here. An error whose
	// HTTPStatus method (see Status) says 204: the topic has ended; 401, 403,
	// 404 or 410: they are refused so. Any other error: they are told to come
	// again. After any return the next subscriber causes another call.
	Follow(ctx context.Context, topic, lastEventID string, opened func()) error
}

// Status is what an error of an Upstream or a Committer may have to decide the
// answer of the request that met it.
type Status interface {
	error
	HTTPStatus() int
}
