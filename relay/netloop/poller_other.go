//go:build !linux

package netloop

// newPoller is the poller of a loop.
func newPoller(l *loop, portable bool) (poller, error) {
	return newGoPoller(l), nil
}
