package relay

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// However many come and go at once, no limit is passed and nothing is left.
func TestAdmissionTogether(t *testing.T) {
	a := newAdmission(Limits{Subscribers: 20, AddressShare: 0.5, Publishes: 3})
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 2000 {
				who, _ := a.subscriber(fmt.Sprintf("192.0.2.%d:1", rand.IntN(3)))
				if a.subscribers.Load() > 20+8 { // the counter may be over while one is refused
					t.Error("too many subscribers")
				}
				if who != nil {
					if who.subscribersNow(a) > 10 {
						t.Error("too many of one address")
					}
					a.leave(who)
				}
				if a.publish() {
					a.published()
				}
			}
		})
	}
	all.Wait()
	if a.subscribers.Load() != 0 || a.publishes.Load() != 0 || len(a.addresses) != 0 {
		t.Errorf("%d subscribers, %d publishes, %d addresses are left", a.subscribers.Load(), a.publishes.Load(), len(a.addresses))
	}
}

func (who *address) subscribersNow(a *admission) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return who.subscribers
}
