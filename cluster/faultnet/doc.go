// Package faultnet is a network in memory, for tests: hosts that listen, dial and gossip as on a real one, and a test that
// cuts, delays, loses, pauses and kills between them.
//
//	net := faultnet.New()
//	a, b := net.Host("a"), net.Host("b")       a Host satisfies cluster.Network
//	...
//	net.Partition([]string{"a"}, []string{"b"}) ─┐
//	net.Heal()                                  ─┴► path a→b, path b→a ◄── connections, packets
//
// Every pair of hosts has a path each way, and a path has one state at a time. What is under way meets faults as it would
// on wires: a cut loses packets, but what a connection carries is only held back, and goes on after the heal, since TCP
// sends again. A cut of one way stops the other after a window of bytes, for want of acknowledgements. Who dials into
// a cut, or a paused host, hears nothing. A paused host neither sends nor takes: what others sent it meanwhile it finds when it goes on, its
// socket buffers' worth. A killed host's connections are reset, by the kernel that outlives its process; the program behind
// it goes on in a void, until the test ends it.
//
// All waiting is on channels and timers, so a network may live in a testing/synctest bubble, where hours cost nothing.
// Stats say what each path carried, lost and held, so that a test can show that its faults were met.
//
// No goroutine is left behind but those of open gossip transports, which end with Shutdown. Nothing here limits bandwidth.
package faultnet
