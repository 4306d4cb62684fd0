package demo

import (
	"math"
	"math/rand/v2"
	"time"
)

// Trade is the body of every event on TopicPrices.
type Trade struct {
	Symbol string  `json:"symbol"`
	Name   string  `json:"name"`
	Last   float64 `json:"last"`
	Bid    float64 `json:"bid"`
	Ask    float64 `json:"ask"`
	Open   float64 `json:"open"`
	High   float64 `json:"high"`
	Low    float64 `json:"low"`
	Size   int     `json:"size"`
	Volume int     `json:"volume"`         // of the session so far
	News   string  `json:"news,omitempty"` // with a jump
}

// A company of the invented exchange.
type company struct {
	symbol string
	name   string
	start  float64 // the price that a session long ago began with
	sigma  float64 // standard deviation of a second's return, in the calm
	pace   float64 // trades a second, in the calm
	trade  string  // what its news are about
}

var companies = []company{
	{"FRSH", "Freshet Works", 128.40, 0.0012, 0.75, "its order book"},
	{"OXBW", "Oxbow Bank", 41.15, 0.0008, 0.55, "its quarterly figures"},
	{"EDDY", "Eddy Robotics", 263.70, 0.0018, 0.65, "tests of its swimming robot"},
	{"DLTA", "Delta Foods", 57.82, 0.0007, 0.40, "the rice harvest"},
	{"MIST", "Mist Semiconductor", 912.50, 0.0020, 0.70, "the yield of its new process"},
	{"RPDS", "Rapid Logistics", 74.06, 0.0010, 0.45, "the water level of the canal"},
	{"TDAL", "Tidal Grid", 19.38, 0.0014, 0.50, "the new tide tables"},
	{"SILT", "Silt & Stone", 8.64, 0.0016, 0.35, "a ruling on its quarry"},
}

const (
	session      = 6 * time.Minute // of the show; then open, high, low and volume begin again
	jumpsASecond = 1.0 / 140       // per share
	calm         = 7.0             // seconds until excitement has fallen to 1/e
	anchorPull   = 1.0 / 900       // per second: keeps a demo of days from drifting off to nothing
	spreadCalm   = 0.0005          // of the price
	spreadPull   = 0.35            // per trade
)

// A share walks: the logarithm of its price is a random walk whose step grows
// with its excitement, the spread reverts to its mean, jumps come from nowhere
// and leave trades quicker, larger and dearer for some seconds.
type share struct {
	company
	rng     *rand.Rand
	log     float64 // of the mid price, before rounding
	anchor  float64
	spread  float64 // logarithm of (spread / spreadCalm), reverting to 0 plus excitement
	excited float64 // 0 in the calm
	sees    time.Duration
	closes  time.Duration
	last    Trade
}

func newShare(rng *rand.Rand, c company) *share {
	s := &share{company: c, rng: rng, log: math.Log(c.start), anchor: math.Log(c.start), closes: session}
	s.last = Trade{Symbol: c.symbol, Name: c.name}
	s.open()
	return s
}

func (s *share) open() {
	mid := cents(math.Exp(s.log))
	s.last.Open, s.last.High, s.last.Low, s.last.Last, s.last.Volume = mid, mid, mid, mid, 0
}

// step makes the next trade at the given time of the show.
func (s *share) step(at time.Duration) (Message, time.Duration) {
	dt := (at - s.sees).Seconds()
	s.sees = at
	s.excited *= math.Exp(-dt / calm)

	kind := "trade"
	s.last.News = ""
	if at >= s.closes {
		s.closes += session
		s.open()
		kind = "opening"
	}
	s.log += -anchorPull*dt*(s.log-s.anchor) + s.sigma*(1+1.5*s.excited)*math.Sqrt(dt)*s.rng.NormFloat64()
	if kind == "trade" && s.rng.Float64() < jumpsASecond*dt {
		kind = "jump"
		s.jump()
	}
	s.spread += spreadPull*(s.excited-s.spread) + 0.25*s.rng.NormFloat64()

	mid := math.Exp(s.log)
	wide := math.Max(mid*spreadCalm*math.Exp(s.spread), 0.01)
	s.last.Bid = cents(mid - wide/2)
	s.last.Ask = math.Max(cents(mid+wide/2), cents(s.last.Bid+0.01))
	s.last.Last = s.last.Bid
	if s.rng.IntN(2) == 0 {
		s.last.Last = s.last.Ask
	}
	s.last.High = math.Max(s.last.High, s.last.Last)
	s.last.Low = math.Min(s.last.Low, s.last.Last)
	s.last.Size = 10 * (1 + int(8*(1+2*s.excited)*math.Exp(0.9*s.rng.NormFloat64())))
	s.last.Volume += s.last.Size
	return Message{Topic: TopicPrices, Type: kind, Key: s.symbol, Body: s.last}, s.pause()
}

func (s *share) jump() {
	size := (0.012 + 0.02*math.Abs(s.rng.NormFloat64()))
	word := "up on "
	if s.rng.IntN(2) == 0 {
		size, word = -size, "down on "
	}
	s.log += size
	s.excited = math.Min(s.excited+1.2, 2.5)
	s.last.News = s.name + " " + word + s.trade
}

// pause is exponential, as between independent arrivals, but never so long
// that a row of the page looks dead.
func (s *share) pause() time.Duration {
	wait := s.rng.ExpFloat64() / (s.pace * (1 + s.excited))
	return time.Duration(math.Min(math.Max(wait, 0.05), 6) * float64(time.Second))
}

func cents(x float64) float64 { return math.Round(x*100) / 100 }
