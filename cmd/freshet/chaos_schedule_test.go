package main

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A blow is one thing that goes wrong.
type blow struct {
	kind   blowKind
	victim string        // owner, standby, or other
	pick   uint64        // which of several others, or which sides
	lasts  time.Duration // until it is over, or what was killed is started again
	rest   time.Duration // between the recovery and the next
}

type blowKind string

const (
	killed      blowKind = "kill -9"
	stopped     blowKind = "SIGSTOP"
	left        blowKind = "SIGTERM"
	partitioned blowKind = "partition"
	cutOff      blowKind = "one-way cut"
)

func (b blow) String() string {
	switch b.kind {
	case partitioned, cutOff:
		return fmt.Sprintf("%s for %v", b.kind, b.lasts)
	}
	return fmt.Sprintf("%s of the %s for %v", b.kind, b.victim, b.lasts)
}

// A chaosSchedule draws blows. The same seed draws the same ones, whatever becomes of them; every kind comes once before
// any comes again.
type chaosSchedule struct {
	random *rand.Rand
	kinds  []blowKind
	dealt  int
}

func newChaosSchedule(seed uint64, kinds ...blowKind) *chaosSchedule {
	return &chaosSchedule{random: rand.New(rand.NewPCG(seed, 0xc4a05)), kinds: kinds}
}

func (s *chaosSchedule) next() blow {
	if s.dealt%len(s.kinds) == 0 {
		s.random.Shuffle(len(s.kinds), func(i, j int) { s.kinds[i], s.kinds[j] = s.kinds[j], s.kinds[i] })
	}
	b := blow{
		kind:   s.kinds[s.dealt%len(s.kinds)],
		victim: []string{"owner", "owner", "standby", "other"}[s.random.IntN(4)],
		pick:   s.random.Uint64(),
		lasts:  200*time.Millisecond + time.Duration(s.random.Int64N(int64(3*time.Second))),
		rest:   time.Duration(s.random.Int64N(int64(500 * time.Millisecond))),
	}
	if b.kind == partitioned || b.kind == cutOff { // which is noticed after a second
		b.lasts *= 2
	}
	b.lasts, b.rest = b.lasts.Round(time.Millisecond), b.rest.Round(time.Millisecond)
	s.dealt++
	return b
}
