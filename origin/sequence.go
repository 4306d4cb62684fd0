package origin

import "strconv"

// sequence watches ids that count upwards by one, as many origins' do. It
// claims nothing: ids are the origin's, and may mean anything.
type sequence struct {
	last uint64
	run  int // how many ids in a row were one more than the id before
}

// countsAfter is how many steps of one make ids count as counting.
const countsAfter = 2

// observe takes the id of the next event, and returns how many ids were jumped
// over since the last, if they count.
func (s *sequence) observe(id string) (jumped uint64) {
	n, err := strconv.ParseUint(id, 10, 63)
	if err != nil {
		*s = sequence{}
		return 0
	}
	switch {
	case n == s.last+1:
		s.run++
	case s.run >= countsAfter && n > s.last:
		jumped = n - s.last - 1
	default:
		s.run = 0
	}
	s.last = n
	return jumped
}
