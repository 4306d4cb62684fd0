// Package agree is how relays agree on the order of a topic: who owns it, what is committed, who takes over, and how two
// halves of a cluster become one again. It is a state machine without I/O: time, messages and wishes go in; messages and
// decisions come out. Whole clusters of it run in a test in virtual time (see sim_test.go).
//
//	publish ──► accepting relay ──► owner ──append/ack──► standby        one topic; the owner alone orders it
//	                                  │                      │
//	                                  ├──entries──► parent ──┴─► ...     followers, a tree over the regions
//	                                  ▼
//	                                 ring ──► subscribers
//
// A Relay holds the topics of one process. Each has a Log: what is shown here, and on an owner or a standby the tail that
// is not committed yet. Its role is follower, standby, candidate, owner or sealed, and every event that touches it ends in
// one function, Relay.reconcile, that looks at the state and does what is due: there is no other scheduler.
//
// One goroutine calls a Relay. Nothing here blocks, keeps a clock or starts a goroutine.
//
// # What it promises
//
//	I1  What was shown or acknowledged is held by the owner and by its current standby, or the owner was alone in view.
//	I2  An epoch has one appender, and an entry that was shown is never cut from its epoch's log.
//	I3  Who answered inquire(e), or accepted an append of e, refuses every ownership that does not descend from e or later.
//	I4  The canonical log is the surviving owner's; cursors and replays walk only it.
//
// From I2 follows the one fact that all comparisons here rest on: two logs that both hold the position (e, n) agree on
// everything up to n.
//
// # What was mended in the protocol while it was built
//
// The page that this package follows says how relays agree in a few lines. These are the places where the letter of it
// lost, doubled or reordered events in the simulator or on paper, and what is done instead:
//
//   - A new epoch alone proves nothing. An owner that slept through a takeover and then changes its standby would draw the
//     highest epoch of all (it contains the time) and find a standby for it. So enlist carries the epoch that the new one
//     descends from, and who has promised a later one to somebody else refuses (I3 in terms of descent).
//   - A live owner is not deposed by one bad cable. Who hears an inquiry and is in touch with the owner itself (its standby,
//     a direct follower, the owner) names the holder and promises nothing; the candidate follows through that relay instead.
//   - The same inquiry creates topics: a relay that is first in order and asked for a topic it does not hold may be a
//     newcomer, and a second log of the topic would be worse than half a second.
//   - A standby counts for its new epoch only when its copy is whole; until then it answers inquiries with what it had.
//   - What a standby holds beyond the fork is offered even if it does not know it to be committed: the dead owner may have
//     shown it a moment after the acknowledgement. And an owner that steps down drops nothing: it offers its tail too, which
//     may be the last copy of what its standby committed after taking over. Publish keys keep that from doubling.
//   - Of two owners that meet at a standby the later claim stays, whichever placement prefers: of an owner that slept and one
//     that took over meanwhile, only that one is safe. Placement then moves the topic like any other. Only where an owner is
//     asked to yield by Move does the one asked stay, after it has made sure (an empty append to its standby) that it is
//     an owner still.
//   - An owner that steps down gives up the promises that it made to itself for epochs which nobody confirmed; two owners
//     would otherwise fence each other out in turns.
//   - Alone means that gossip sees nobody else, not that links are down: a relay that wakes from a pause has no links.
//   - Only who owns, stands by, or follows an owner itself serves followers, and who loses its parent sends its followers
//     away. A tree is then three deep at most, and no ring of followers can form, whatever views differ.
//   - Who should own by its own view and is asked for the topic does not pass on what it believes about the holder: it asks
//     the holder first. Two stale beliefs could otherwise send everybody back and forth for ever.
//   - A redirect says which request it answers. One that ended all requests to a relay at once multiplied them.
//   - A standby whose connection to the owner is a new one leaves unless it is enlisted again within a second.
//   - An uncommitted tail is never trimmed, whatever the ring's limits.
//   - In the middle of the catch-up after a heal, a client's id has two parts (Place): where it stands in the canonical log,
//     and the last position it had on the lost branch. With the first part alone, a client that is cut off in the middle
//     would be sent the rest of the lost branch a second time.
//   - Publishes of one topic travel from an accepting relay one batch at a time, so that a retry cannot reorder them.
//   - A client that crosses from one side of a partition to the other goes on there from the fork, and its ids carry on the
//     branch that it came from (Place.Lost) for as long as that branch has not been merged (Route.Missing). Whenever lost
//     events find their places (Merged), it is routed again, so that it is not sent them a second time; and if it comes back
//     to the side that it left, it goes on where it was. Nobody waits for a merge.
//   - A dead owner may have shown a tail that its heir has not committed yet, and an epoch that was begun without that tail can
//     vanish without a fork. Whoever saw the tail and crossed over is routed again before the log that survives shows it.
//   - Who is known by position where it comes to is answered at once, whole log or not. Only "unknown" needs the owner, who
//     makes sure first (an empty append to its standby) that it is the owner still, and a log that has been whole for a
//     while. The two seconds for the ring to reach an id are those in which the relay is in touch with an owner: a takeover
//     in the middle stops that clock, and five seconds end it. What an owner says of an id is about its own log: There names
//     the place, and if the log that survives has it not, the word is void.
//   - Nobody waits, but for a moment: two sides see one another some seconds before their owners meet, and until then what is
//     unknown is about to be known.
//   - A relay that knows nothing of a topic and is alone begins a log of its own. If it stays owner after the heal, the old log
//     becomes its log, and its own few events are merged into that: not a whole ring into a few events (see trunk.go).
//   - A key tells that an event is in this log only if it stood there: keys outlive the branch that they are from, and a ring may
//     have let the event go before the fork was found. Whoever still holds it on that branch has it merged.
//   - Who cannot reach the owner, and is told of it by whom it asks, follows through that one.
//   - By an id that the origin set, nothing tells on which of two branches a client saw the event: it is sent what came after
//     the fork again (guarantee 5's last sentence).
//   - Follow has a number and its answer repeats it. Without, the answer to an earlier request is taken for one to a later,
//     which the parent has refused meanwhile.
//   - A candidate that gives up takes back what it promised itself, or it would fence out the living owner that it heard of.
//     Who has asked its parent for leave to drop the topic does not name it as the owner any more.
//   - Once all is quiet a follower that trouble has left with another parent goes back to its region's, and that one to the
//     owner, or every takeover would end the tree for good.
//   - A relay that becomes the owner, or the standby of another owner, ends the streams of who follows it: they were told of
//     the owner before, and would offer that one what they hold. Who is taken for the owner and is none says so.
//
// Feeds (feed.go):
//
//   - Of two feed owners that meet the one that stays may have the lower epoch, and the owners of the topics would refuse it
//     for ever. They say which epoch they have seen, and it draws a later one, which its standby has to confirm. That does
//     not count as a change of standby: two owners that outdo each other would put off their meeting for ever.
//   - The newest pull of each feed goes with the log, not with its entries: they may all be gone.
//   - What an origin repeats is known by its id and its bytes together, for as long as publish keys are: also where the id was
//     not used because another event has it, and where the ring has moved on.
//   - The side that loses may have been further on at the origin. What a merge brought, or that side's last publishes, is not
//     committed again when the own pull comes to it, although that is no unbroken run after a reconnect.
//   - Cursors are not merged: those of the side that stays say what has been passed on that side.
//
// # What a client may see twice, or miss
//
// The simulator's checker lets a client see an event twice, on one stream or several, only where nobody could know better:
//
//   - all who held it were killed, and its publisher, who had no answer, sent it again;
//   - the client came with an origin's id of an event that stood on two branches, or with any such id after it had crossed
//     from one side to the other, for such an id has no room for what it saw there;
//   - both sides committed the event on their own (a publisher retried on the other side, a feed was pulled on both), or the
//     ring of one side let it go before the merge, and the client went from one side to the other before they met;
//   - the client came back to a branch that it had seen merged, at a relay that had not heard of the merge; or it had seen three
//     sides of two partitions, of which a Place names two;
//   - a feed's origin repeated it after an event that this side had never held: no unbroken run of known ids.
//
// A client misses an event without a gap in one case: it comes to the other side of a partition that still lasts, with an
// origin's id of an event that both sides have committed on their own. What this side committed before that event, and the
// other did not, it has not seen, and nothing tells. In a topic that only a feed fills there is no such event.
//
// A gap is told only if the ring has moved on, or if neither the owner nor, once owners have met, anybody within reach knows
// the id.
package agree
