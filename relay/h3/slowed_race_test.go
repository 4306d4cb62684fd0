//go:build race

package h3

// slowed: the race detector makes everything take many times as long.
const slowed = true
