// Freshet is an edge fan-out relay for Server-Sent Events: post an event once,
// or point it at one SSE feed, and it streams to everybody who follows the topic,
// and replays what they missed when they come back.
//
//	freshet run                                        # a relay on http://127.0.0.1:8080
//	freshet tail scores/match-42                       # follow a topic
//	freshet publish scores/match-42 '{"score":"1:0"}'  # publish to it
//	freshet demo -relays 3                             # all of it at once, with a page to look at
//
// # Commands
//
//	run       run a relay
//	demo      run a relay with live matches and tickers, and a page that shows them
//	publish   publish events to a topic
//	tail      follow a topic
//	bench     measure a relay under load
//	cluster   show a cluster, or how it stands with a topic
//	key       print a new key for a cluster
//	check     check a configuration file
//	config    print the reference configuration file
//	version   print the version
//	help      explain a command
//
// Flags may stand before, between and behind the arguments; what follows -- is
// never a flag.
//
// # Configuration
//
// A relay needs none: it listens on loopback, keeps a day of each topic in at most
// a megabyte, and lets this machine publish. What else it can be told is in the
// file that "freshet config" prints, with every default. The same keys are
// environment variables (topics.events is FRESHET_TOPICS_EVENTS) and flags
// (-set topics.events=100). Flags win over the environment, that over the file
// (-config, or FRESHET_CONFIG), that over the defaults. "freshet check FILE" tells
// every mistake in a file, with its line.
//
// publish and tail find their relay by -url or FRESHET_URL, else on
// http://127.0.0.1:8080, and publish sends FRESHET_TOKEN, if set, as bearer token.
//
// cluster finds a relay's admin listener by -admin or FRESHET_ADMIN, else on
// http://127.0.0.1:8081.
//
// # Running it
//
// A relay says in one line on standard output that it is ready, with its URLs;
// everything else goes to standard error as structured logs. Health, readiness,
// metrics and profiles are on the admin listener.
//
//   - SIGTERM, SIGINT: stop. The relay is no longer ready, and goes on for "drain_delay",
//     which gives load balancers time to look elsewhere; then subscribers are told when
//     to come back and sent away, one a millisecond, over "drain" at most, and the process
//     exits with 0. One of a cluster moves the topics that it owns to others meanwhile.
//     A second one, a second later or more, ends the process at once.
//   - SIGHUP: read the certificate files again, which happens by itself soon after
//     they change.
//
// A relay collects garbage twice as eagerly as Go programs usually do; GOGC, where set, decides instead.
//
// # Exit status
//
//	0    done, or stopped when asked to
//	1    it failed; one line on standard error says why
//	2    the command line or the configuration is wrong; one line a mistake
//	130  stopped at once by a second signal
package main

import "os"

func main() {
	t := &terminal{
		stdin:   os.Stdin,
		stdout:  os.Stdout,
		stderr:  os.Stderr,
		environ: os.Environ(),
		live:    isTerminal(os.Stderr),

		asksPerson: isTerminal(os.Stdin),
	}
	ctx, release := untilStopped(t, os.Exit)
	status := t.execute(ctx, os.Args[1:])
	release()
	os.Exit(status)
}
