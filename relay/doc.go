// Package relay is the subscribers' side of freshet: topics, the streams that
// follow them, and the HTTP contract around both.
package relay
