//go:build unix

package relay

import "golang.org/x/sys/unix"

// connectionsFromDescriptors returns how many connections the limit of open
// files leaves room for, beside listeners, links, files and profiles.
func connectionsFromDescriptors() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return fallbackConnections
	}
	const reserve = 256
	const most = 1 << 24 // "unlimited" is not a number of connections
	n := int(min(uint64(lim.Cur), most))
	return max(n-reserve, n/2, 1)
}
