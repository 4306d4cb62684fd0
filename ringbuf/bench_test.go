package ringbuf

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"
)

// filled returns a ring with n events of size bytes, each with an id of the origin's.
func filled(n, size int) *Ring {
	r := New(Limits{Events: n}, Position{Epoch: 1_790_000_000 << 16})
	body := append(bytes.Repeat([]byte("x"), size-1), '\n')
	batch := make([]Entry, 0, 1000)
	for i := range n {
		batch = append(batch, Entry{Body: body, ID: fmt.Sprint("match-42/", i), Commit: start.Add(time.Duration(i) * time.Millisecond)})
		if len(batch) == cap(batch) || i == n-1 {
			r.AppendAll(batch)
			batch = batch[:0]
		}
	}
	return r
}

func TestNothingIsAllocatedOnTheWayOut(t *testing.T) {
	r := filled(5000, 200)
	position := r.Before(r.Last(1000)).String()
	for name, read := range map[string]func(){
		"Next": func() {
			for c := r.Oldest(); ; {
				if _, n, _ := r.Next(&c, 16<<10); n == 0 {
					break
				}
			}
		},
		"Next at the head": func() { c := r.Latest(); r.Next(&c, 1000) },
		"Next when lapped": func() { c := Cursor{}; r.Next(&c, 1000) },
		"Step": func() {
			for c := r.Last(100); ; {
				if _, _, ok := r.Step(&c); !ok {
					break
				}
			}
		},
		"Find an id":       func() { r.Find("match-42/4321") },
		"Find a position":  func() { r.Find(position) },
		"Find in vain":     func() { r.Find("never-seen") },
		"Lookup":           func() { r.Lookup("match-42/4321") },
		"Before":           func() { var b [27]byte; r.Before(r.Latest()).AppendText(b[:0]) },
		"Last, Since, Lag": func() { r.Lag(r.Last(100)); r.Since(start) },
	} {
		if n := testing.AllocsPerRun(100, read); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
	body := []byte("data: a usual event of no great length\n")
	if n := testing.AllocsPerRun(20_000, func() { r.Append(Entry{Body: body}) }); n > 0 { // rounded down
		t.Errorf("Append allocates %v times an event", n)
	}
}

func BenchmarkNext(b *testing.B) {
	r := filled(4096, 200)
	b.Run("one event at the head", func(b *testing.B) {
		for b.Loop() {
			c := r.Last(1)
			r.Next(&c, 16<<10)
		}
	})
	b.Run("nothing new", func(b *testing.B) {
		c := r.Latest()
		for b.Loop() {
			r.Next(&c, 16<<10)
		}
	})
	b.Run("replay of 4096", func(b *testing.B) {
		b.SetBytes(int64(r.Bytes()))
		for b.Loop() {
			for c := r.Oldest(); ; {
				if _, n, _ := r.Next(&c, 16<<10); n == 0 {
					break
				}
			}
		}
	})
}

// BenchmarkFind compares lookups in a small log with those in a large one: constant time
// means a ratio near 1, but for what the processor's caches do.
func BenchmarkFind(b *testing.B) {
	small, large := filled(4096, 100), filled(1<<20, 100)
	for name, find := range map[string]func(r *Ring, texts []string, i int) Found{
		"id":       func(r *Ring, ids []string, i int) Found { _, f := r.Find(ids[i%len(ids)]); return f },
		"position": func(r *Ring, ids []string, i int) Found { _, f := r.Find(ids[i%len(ids)]); return f },
	} {
		b.Run(name, func(b *testing.B) {
			var per [2]float64
			for k, r := range []*Ring{small, large} {
				texts := make([]string, 4096)
				for i := range texts {
					c := CursorAfter(r.Oldest().Seq() + 1 + rand.Uint64N(uint64(r.Len())))
					texts[i] = r.Before(c).String()
					if name == "id" {
						texts[i] = r.ID(r.Before(c))
					}
				}
				begin, n := time.Now(), 0
				for ; n < 300_000; n++ {
					if find(r, texts, n) != Known {
						b.Fatal("not found")
					}
				}
				per[k] = float64(time.Since(begin)) / float64(n)
			}
			for b.Loop() { // the timings above are the result
			}
			b.ReportMetric(per[0], "ns/find-in-4k")
			b.ReportMetric(per[1], "ns/find-in-1M")
			b.ReportMetric(per[1]/per[0], "1M/4k")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkAppend sets one event's append beside the mere copying of its bytes.
func BenchmarkAppend(b *testing.B) {
	body := append(bytes.Repeat([]byte("x"), 199), '\n')
	ids := make([]string, 1<<16)
	for i := range ids {
		ids[i] = fmt.Sprint("match-42/", i)
	}
	limits := Limits{Events: 4096, Bytes: 1 << 20, Age: 24 * time.Hour}
	for name, id := range map[string]bool{"position": false, "id": true} {
		b.Run(name, func(b *testing.B) {
			r := New(limits, Position{Epoch: 1})
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				e := Entry{Body: body, Commit: start}
				if id {
					e.ID = ids[i%len(ids)]
				}
				r.Append(e)
			}
		})
	}
	b.Run("batches of 64", func(b *testing.B) {
		r := New(limits, Position{Epoch: 1})
		batch := make([]Entry, 64)
		for i := range batch {
			batch[i] = Entry{Body: body, Commit: start}
		}
		for b.Loop() {
			r.AppendAll(batch)
		}
		b.ReportMetric(float64(b.Elapsed())/float64(b.N)/64, "ns/event")
	})
	b.Run("into a log of 1M", func(b *testing.B) {
		r := filled(1<<20, 200)
		b.ResetTimer()
		for b.Loop() {
			r.Append(Entry{Body: body, Commit: start})
		}
	})
}

// BenchmarkReadersBeside says how much readers slow the appender down: they never take its lock.
func BenchmarkReadersBeside(b *testing.B) {
	body := append(bytes.Repeat([]byte("x"), 199), '\n')
	for _, readers := range []int{0, 1} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			r := New(Limits{Events: 4096}, Position{Epoch: 1})
			var stop atomic.Bool
			done := make(chan struct{})
			for range readers {
				go func() {
					defer func() { done <- struct{}{} }()
					for c := r.Latest(); !stop.Load(); {
						r.Next(&c, 16<<10)
					}
				}()
			}
			for b.Loop() {
				r.Append(Entry{Body: body, Commit: start})
			}
			stop.Store(true)
			for range readers {
				<-done
			}
		})
	}
}
