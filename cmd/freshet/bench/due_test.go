//go:build linux

package bench

import "testing"

func TestDueTimes(t *testing.T) {
	var d dueTimes
	if due := d.of(1); due != 0 {
		t.Errorf("nothing was said, and yet: %d", due)
	}
	const n = 1000
	for i := uint64(1); i <= n; i++ {
		d.add(i, int64(i)*7)
	}
	for i := uint64(1); i <= n; i++ {
		if due := d.of(i); due != int64(i)*7 {
			t.Errorf("event %d is due at %d", i, due)
		}
	}
	if due := d.of(100 * n); due != 0 {
		t.Errorf("what is to come is due at %d", due)
	}
	if due := (*dueTimes)(nil).of(1); due != 0 {
		t.Errorf("nobody publishes, and yet: %d", due)
	}
}
