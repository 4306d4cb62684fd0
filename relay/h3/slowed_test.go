//go:build !race

package h3

const slowed = false
