package cluster

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// addressBook remembers where members were met: memberlist forgets the dead after half a minute, and a partition may
// last longer.
type addressBook struct {
	mu  sync.Mutex // guards met; held for moments only
	at  map[string]time.Time
	now func() time.Time
}

const (
	rememberAddress = 24 * time.Hour
	maxAddresses    = 4096
)

func newAddressBook() *addressBook {
	return &addressBook{at: map[string]time.Time{}, now: time.Now}
}

func (b *addressBook) met(address string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.at[address]; !known && len(b.at) >= maxAddresses {
		oldest := ""
		for a, t := range b.at {
			if oldest == "" || t.Before(b.at[oldest]) {
				oldest = a
			}
		}
		delete(b.at, oldest)
	}
	b.at[address] = b.now()
}

// recent lists the addresses of the last day.
func (b *addressBook) recent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]string, 0, len(b.at))
	for a, t := range b.at {
		if b.now().Sub(t) > rememberAddress {
			delete(b.at, a)
			continue
		}
		list = append(list, a)
	}
	return list
}

const (
	joinSoon   = time.Second      // between attempts while somebody is missing
	joinLater  = 10 * time.Second // and once all are here: names may stand for new addresses
	joinAtOnce = 16               // a dead address takes seconds, and a day may leave hundreds
)

// join tries every address that is not a member now, until ctx ends. A name is resolved anew each time.
func (m *Members) join(ctx context.Context) {
	alone := solitude{since: time.Now()}
	for {
		wait := joinLater
		configured, met := m.strangers(ctx)
		if len(configured)+len(met) > 0 || len(m.Join) > 0 && len(m.Alive()) == 1 { // a name that stands for nobody yet
			wait = joinSoon
		}
		others := append(met, m.doubters()...)
		failed := m.knock(ctx, append(configured, others...))
		for _, address := range others {
			delete(failed, address)
		}
		if ctx.Err() == nil {
			alone.see(m, time.Now(), failed)
		}
		if !m.rest(ctx, wait+rand.N(wait/4)) { // so that relays started together do not knock together
			return
		}
	}
}

// rest waits, for less if somebody is missing who was here when it began, or takes this relay to be elsewhere; false: ctx has
// ended.
func (m *Members) rest(ctx context.Context, wait time.Duration) bool {
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(joinSoon)
	defer look.Stop()
	most := len(m.Alive())
	for {
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return true
		case <-look.C:
		}
		here := len(m.Alive())
		if here < most || m.disputed() {
			return true
		}
		most = here
	}
}

// knock tries to join at addresses, and says at which this failed.
func (m *Members) knock(ctx context.Context, addresses []string) map[string]error {
	var mu sync.Mutex // guards failed
	failed := map[string]error{}
	var knocking sync.WaitGroup
	free := make(chan struct{}, joinAtOnce)
	for _, address := range addresses {
		select {
		case <-ctx.Done():
			knocking.Wait()
			return failed
		case free <- struct{}{}:
		}
		knocking.Go(func() {
			if _, err := m.list.Join([]string{address}); err != nil {
				m.Log.Debug("join", "address", address, "error", err)
				mu.Lock()
				failed[address] = err
				mu.Unlock()
			}
			<-free
		})
	}
	knocking.Wait()
	return failed
}

// strangers are the addresses to knock at: those configured and those of the last day, less the members'.
func (m *Members) strangers(ctx context.Context) (configured, met []string) {
	here := map[string]bool{}
	for _, x := range m.Alive() {
		here[x.Gossip] = true
		if x.Name != m.Name { // members are met as long as they are here
			m.known.met(x.Gossip)
		}
	}
	add := func(list *[]string, address string) {
		if !here[address] {
			here[address] = true
			*list = append(*list, address)
		}
	}
	for _, join := range m.Join {
		for _, address := range m.resolve(ctx, join) {
			add(&configured, address)
		}
	}
	for _, address := range m.known.recent() {
		add(&met, address)
	}
	for _, list := range [...][]string{configured, met} {
		rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	}
	return configured, met
}

// resolve turns what is configured into addresses with ports.
func (m *Members) resolve(ctx context.Context, join string) []string {
	host, port, err := net.SplitHostPort(join)
	if err != nil {
		host, port = join, strconv.Itoa(defaultGossipPort)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []string{net.JoinHostPort(ip.String(), port)}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	found, err := m.Network.Resolve(ctx, host)
	if (err != nil || len(found) == 0) && m.unresolved.may(time.Now(), host) {
		m.Log.Warn("a name in cluster.join does not resolve", "name", host, "error", err)
	}
	list := make([]string, 0, len(found))
	for _, ip := range found {
		list = append(list, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return list
}
