// Package demo is the show that `freshet demo` puts on: an invented league and
// an invented stock exchange, a page that watches both, and the proof, on that
// page, that a cut stream loses nothing.
//
//	league.go      clubs, squads                      \
//	match.go       one match: clock, goals, cards      |  Show: no I/O, no clock
//	odds.go        the book on a match                  > of its own, the same
//	market.go      one share: price, spread, volume    |  for the same seed
//	show.go        all of them, merged in time order  /
//	                    |
//	                    v  Message
//	origin.go      Origin: stamps, POST /events/{topic} -----> relay
//	                    |                                        |
//	                    v  how many were sent                    | EventSource
//	page.go        Page: index.html, CSS, JS, /demo/status --> browser
//
// The origin talks to the relay over HTTP like anybody else's would: it knows
// nothing of the relay's insides and would run as well in another process.
//
// Every event carries three fields that only the demo needs. n counts the
// events of its topic from 1 without holes, so a page can see for itself what
// is missing, doubled or out of order, without trusting the ids it resumes by.
// sent is the origin's wall clock, in milliseconds, when it handed the event
// over. run names the origin's process, for n begins again with it. An event
// also carries the whole state of its match or share, so a page that joins
// late asks for the last few events and needs nothing else.
//
// Origin.Run is the only goroutine here. It publishes one event at a time and
// waits for the answer, so the relay sees each topic in order; when the relay
// is slow, the show is late, and no queue grows.
package demo
