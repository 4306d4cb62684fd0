package ringbuf

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// heap returns n rings and the bytes on the heap that each holds.
func heap(n int, fresh func(i int) *Ring) (rings []*Ring, each int) {
	rings = make([]*Ring, n)
	before := live()
	for i := range rings {
		rings[i] = fresh(i)
	}
	return rings, int(live()-before) / n
}

func live() int64 {
	// The first collection may leave what finalizers and pools still hold.
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func quietTopic(events int, ids bool) func(int) *Ring {
	body := append(bytes.Repeat([]byte("x"), 99), '\n')
	return func(int) *Ring {
		r := New(Limits{Events: 4096, Bytes: 1 << 20, Age: 24 * time.Hour}, Position{Epoch: 1_790_000_000 << 16})
		for i := range events {
			e := Entry{Body: body, Commit: start.Add(time.Duration(i) * time.Minute)}
			if ids {
				e.ID = fmt.Sprintf("match-42/%08d", i)
			}
			r.Append(e)
		}
		return r
	}
}

// What a topic costs beyond the bytes of its events, and that Footprint tells the truth.
func TestFootprint(t *testing.T) {
	const rings = 500
	for _, c := range []struct {
		name string
		make func(int) *Ring
		most int // bytes beyond the events' own
	}{
		{"empty", quietTopic(0, false), 300},
		{"1 event", quietTopic(1, false), 450},
		{"5 events", quietTopic(5, false), 700},
		{"5 events with ids", quietTopic(5, true), 900},
		{"50 events", quietTopic(50, false), 3500},
		{"5 events forgotten", func(i int) *Ring {
			r := quietTopic(5, false)(i)
			r.Forget()
			return r
		}, 300},
		{"5 of 2,000 events kept after a busy day", func(i int) *Ring {
			r := quietTopic(2000, false)(i)
			r.Expire(start.Add(1994*time.Minute + 24*time.Hour + time.Second))
			return r
		}, 900},
		{"1,000 events with ids, limited to 20", func(i int) *Ring {
			r := quietTopic(0, true)(i)
			r.limits.Events = 20
			for i := range 1000 {
				r.Append(Entry{Body: make([]byte, 100), ID: fmt.Sprint("id", i)})
			}
			return r
		}, 3000},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, each := heap(rings, c.make)
			r := all[rings-1]
			t.Logf("%d bytes on the heap, says %d; %d events of %d bytes", each, r.Footprint(), r.Len(), r.Bytes())
			if over := each - r.Bytes(); over > c.most {
				t.Errorf("costs %d bytes beyond its events, want at most %d", over, c.most)
			}
			if off := each - r.Footprint(); off > 100+each/10 || off < -100-each/10 {
				t.Errorf("holds %d bytes, Footprint says %d", each, r.Footprint())
			}
			runtime.KeepAlive(all)
		})
	}
}

// A large log costs little beyond its bytes, and at most one segment of memory lags
// behind its bounds.
func TestFootprintOfABusyTopic(t *testing.T) {
	limits := Limits{Events: 4096, Bytes: 1 << 20, Age: 24 * time.Hour}
	for _, size := range []int{20, 100, 200, 1000, 30_000, 200_000} {
		r := New(limits, Position{Epoch: 1_790_000_000 << 16})
		body := append(bytes.Repeat([]byte("x"), size), '\n')
		n := 10_000
		if size > 10_000 {
			n = 500
		}
		for range n {
			r.Append(Entry{Body: body, Commit: start})
		}
		most := r.Bytes() + r.Len()*indexSize + 2*max(maxSegment, size) + r.Bytes()/10 + 2000
		if r.Footprint() > most {
			t.Errorf("events of %d bytes: footprint %d for %d bytes, want at most %d", size, r.Footprint(), r.Bytes(), most)
		}
	}
}

// A log with a small limit has small segments, so that what lags behind its bounds is
// small, too.
func TestFootprintOfASmallLimit(t *testing.T) {
	for _, limit := range []int{16 << 10, 64 << 10, 256 << 10} {
		r := New(Limits{Bytes: limit}, Position{Epoch: 1})
		worst := 0
		for range 10_000 {
			r.Append(Entry{Body: append(bytes.Repeat([]byte("x"), 199), '\n')})
			worst = max(worst, r.Footprint())
		}
		if worst > limit*5/4+3000 {
			t.Errorf("limit %d: footprint up to %d", limit, worst)
		}
	}
}

func TestTheTableOfIDsShrinksWithTheLog(t *testing.T) {
	r := filled(20_000, 100)
	for c := r.Last(10); r.Oldest() != c; {
		r.Trim(r.Footprint() - 1)
		if r.Len() < 20_000/2 {
			c = r.Oldest()
		}
	}
	if slots := len(r.view.Load().ids.slots); slots > 8*r.Len() {
		t.Errorf("%d slots for %d events", slots, r.Len())
	}
	r.limits.Age = time.Millisecond
	r.Expire(start.Add(20_000 * time.Millisecond))
	if slots := len(r.view.Load().ids.slots); r.Len() != 1 || slots > 4096 {
		t.Errorf("%d slots for %d events", slots, r.Len())
	}
}

// A cursor holds nothing of the ring in memory: a stalled reader costs 8 bytes. Nor
// does the ring itself hold on to what it dropped.
func TestDroppedSegmentsLeaveMemory(t *testing.T) {
	for name, move := range map[string]func(r *Ring){
		"appends": func(r *Ring) { add(r, 100_000) },
		"expiry":  func(r *Ring) { r.Expire(start.Add(time.Hour + 5*time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			r := New(Limits{Bytes: 1 << 20, Age: time.Hour}, Position{Epoch: 1})
			add(r, 20_000) // in 20 s
			c := r.Oldest()
			freed := make(chan struct{})
			runtime.AddCleanup(r.view.Load().segs[0], func(done chan struct{}) { close(done) }, freed)
			move(r)
			for range 100 {
				runtime.GC()
				select {
				case <-freed:
					if _, _, lost := r.Next(&c, 1000); lost == 0 {
						t.Error("the reader is not lapped")
					}
					return
				default:
					runtime.Gosched()
				}
			}
			t.Error("the segment under the cursor is still in memory")
		})
	}
}
