package ringbuf

import "testing"

type wakeFunc func()

func (f wakeFunc) Wake() { f() }

func TestWatch(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	var a, b int
	var seen uint64
	stopA := r.Watch(wakeFunc(func() { a++; seen = r.Latest().Seq() }))
	stopB := r.Watch(wakeFunc(func() { b++ }))
	want := func(wantA, wantB int) {
		t.Helper()
		if a != wantA || b != wantB {
			t.Errorf("%d and %d wakes, want %d and %d", a, b, wantA, wantB)
		}
	}
	add(r, 2)
	want(2, 2)
	if seen != 2 {
		t.Errorf("woken before event 2 was visible: %d", seen)
	}
	r.AppendAll([]Entry{{Body: []byte("data: x\n")}, {Body: []byte("data: y\n")}})
	want(3, 3)
	if seen != 4 {
		t.Errorf("woken before event 4 was visible: %d", seen)
	}
	r.Begin(9)
	r.Trim(0)
	want(3, 3) // nothing new
	r.AppendAll([]Entry{{Body: []byte("data: z\n")}})
	want(4, 4)
	stopA()
	stopA()
	add(r, 1)
	want(4, 5)
	stopB()
	add(r, 1)
	want(4, 5)
}

func TestAWakerMayWatchAndStop(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	first, second := 0, 0
	var stop func()
	stop = r.Watch(wakeFunc(func() {
		first++
		stop()
		r.Watch(wakeFunc(func() { second++ }))
	}))
	add(r, 3)
	if first != 1 || second != 2 {
		t.Errorf("%d and %d wakes, want 1 and 2", first, second)
	}
}

// A stop in the middle of a round of wakes leaves nobody out.
func TestStopsWhileOthersAreWoken(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	var woken [4]int
	var stop func()
	for i := range woken {
		s := r.Watch(wakeFunc(func() {
			woken[i]++
			if i == 0 {
				stop()
			}
		}))
		if i == 0 {
			stop = s
		}
	}
	add(r, 2)
	if woken != [4]int{1, 2, 2, 2} {
		t.Errorf("wakes %v", woken)
	}
}

func TestOneWakerWatchedTwice(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	n := 0
	w := &counter{&n}
	stop := r.Watch(w)
	defer r.Watch(w)()
	add(r, 1)
	stop()
	add(r, 1)
	if n != 3 {
		t.Errorf("%d wakes, want 3", n)
	}
}

type counter struct{ n *int }

func (c *counter) Wake() { *c.n++ }

func TestWatchersAreCountedAndGivenBack(t *testing.T) {
	r := New(Limits{}, Position{Epoch: 1})
	empty := r.Footprint()
	var stops []func()
	for range 10 {
		stops = append(stops, r.Watch(wakeFunc(func() {})))
	}
	if r.Footprint() <= empty {
		t.Error("watchers cost nothing")
	}
	for _, stop := range stops {
		stop()
	}
	if r.Footprint() != empty {
		t.Errorf("footprint %d after the last stop, %d before", r.Footprint(), empty)
	}
}
