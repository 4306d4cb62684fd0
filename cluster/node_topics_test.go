package cluster

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"freshet/cluster/agree"
)

// TestResumeGivenUp: whoever gives up while the answer is being used waits until that is done, for it is used where the
// asker's own memory is.
func TestResumeGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New("a", nil)
		n.relay = agree.New(agree.Config{Name: "a"})
		n.routes = map[uint64]func(agree.Route){}
		go func() { // the loop, which finds an answer when it was asked
			(<-n.inputs)()
			n.routes[1](agree.Route{After: 1})
		}()
		ctx, cancel := context.WithCancel(t.Context())
		using := false
		err := n.Resume(ctx, "t", "x", func(agree.Route) {
			using = true
			cancel()
			time.Sleep(time.Second)
			using = false
		})
		if using {
			t.Errorf("Resume returned %v while its answer was being used", err)
		}
		synctest.Wait()
	})
}
