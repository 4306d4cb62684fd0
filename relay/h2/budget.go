package h2

import (
	"fmt"
	"time"

	"golang.org/x/net/http2"
)

// The budgets of a connection.
const (
	resets = iota
	control
	updates
	budgets // how many there are
)

var budgetNames = [budgets]string{
	resets:  "streams that ended before their response",
	control: "control and empty frames",
	updates: "window updates and data cut short by small windows",
}

// crumb is the length in octets below which a DATA frame that its window cut short counts
// against the budget of updates: a header of 9 octets, a walk through the loop and perhaps a
// write of its own, for next to nothing.
const crumb = 64

// earnings is what a request, and each DATA frame that is no crumb, adds to the budget of
// updates. A client answers a frame with two updates, one of the stream and one of the connection;
// twice as many are as good as none too many.
const earnings = 4

// spend takes n from a budget.
func (c *Conn) spend(budget int, n int32) error {
	c.budget[budget] -= n
	if c.budget[budget] >= 0 {
		return nil
	}
	b := c.scratch.limits.budget[budget]
	return c.fail(http2.ErrCodeEnhanceYourCalm,
		fmt.Sprintf("%s: limit is %d at once and %d a second", budgetNames[budget], b.Burst, b.Rate))
}

// earn adds to the budget of updates.
func (c *Conn) earn() {
	if c.budget[updates] < int32(c.scratch.limits.budget[updates].Burst) {
		c.budget[updates] += earnings
	}
}

// refill adds to the budgets what the time that has passed is worth.
func (c *Conn) refill(now time.Time) {
	second := c.scratch.second(now)
	if second <= c.second {
		return
	}
	passed := int64(second - c.second)
	c.second = second
	for i := range c.budget {
		b := c.scratch.limits.budget[i]
		if full := int64(b.Burst); int64(c.budget[i]) < full {
			c.budget[i] = int32(min(full, int64(c.budget[i])+passed*int64(b.Rate)))
		}
	}
}
