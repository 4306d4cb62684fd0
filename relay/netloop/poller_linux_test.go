package netloop

import (
	"testing"
	"time"
)

// A deadline that wake leaves behind, because the loop had been woken by something else already, ends one
// wait and no more.
func TestLateWakeDoesNotMakeTheLoopSpin(t *testing.T) {
	p, err := newEpoll()
	if err != nil {
		t.Fatal(err)
	}
	_ = p.file.SetReadDeadline(time.Unix(1, 0))
	returned := make(chan struct{}, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			_ = p.wait(-1)
			returned <- struct{}{}
		}
	}()
	<-returned
	for range 9 {
		select {
		case <-returned:
			t.Error("it spins")
		case <-time.After(5 * time.Millisecond):
		}
		p.wake()
		<-returned
	}
	<-done
	p.close()
}
