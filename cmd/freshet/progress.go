package main

import (
	"fmt"
	"strconv"
	"time"
)

// progressInterval is how often progress is shown, and progressAfter when that begins:
// what is done sooner needs none.
const (
	progressInterval = 200 * time.Millisecond
	progressAfter    = time.Second
)

// progress tells a person at the terminal how far a publication is, in one line that is
// drawn over. Nobody else sees it.
type progress struct {
	terminal *terminal
	start    time.Time
	sent     int
	drawn    bool
}

// draw shows where things stand.
func (p *progress) draw(committed uint64) {
	elapsed := time.Since(p.start)
	if !p.terminal.live || elapsed < progressAfter || p.sent == 0 {
		return
	}
	p.drawn = true
	rate := uint64(float64(committed) / elapsed.Seconds())
	fmt.Fprintf(p.terminal.stderr, "\r\x1b[K%s sent, %s committed, %s a second", thousands(uint64(p.sent)), thousands(committed), thousands(rate))
}

// finish leaves the last state behind, if any was drawn.
func (p *progress) finish(committed uint64) {
	if p.drawn {
		p.draw(committed)
		fmt.Fprintln(p.terminal.stderr)
	}
}

// thousands writes a number with a comma between groups of three digits.
func thousands(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for cut := len(digits) - 3; cut > 0; cut -= 3 {
		digits = digits[:cut] + "," + digits[cut:]
	}
	return digits
}
