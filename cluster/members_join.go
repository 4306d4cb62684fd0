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
	for {
		wait := joinLater
		strangers := m.strangers(ctx)
		if len(strangers) > 0 || len(m.Join) > 0 && len(m.Alive()) == 1 { // a name that stands for nobody yet
			wait = joinSoon
		}
		m.knock(ctx, strangers)
		if !m.rest(ctx, wait+rand.N(wait/4)) { // so that relays started together do not knock together
			return
		}
	}
}

// rest waits, for less if somebody is missing who was here when it began; false: ctx has ended.
func (m *Members) rest(ctx context.Context, wait time.Duration) bool {
	over := time.NewTimer(wait)
	defer over.Stop()
	look := time.NewTicker(joinSoon)
	defer look.Stop()
	most := 0
	for {
		here := len(m.Alive())
		if here < most {
			return true
		}
		most = here
		select {
		case <-ctx.Done():
			return false
		case <-over.C:
			return true
		case <-look.C:
		}
	}
}

func (m *Members) knock(ctx context.Context, addresses []string) {
	var knocking sync.WaitGroup
	defer knocking.Wait()
	free := make(chan struct{}, joinAtOnce)
	for _, address := range addresses {
		select {
		case <-ctx.Done():
			return
		case free <- struct{}{}:
		}
		knocking.Go(func() {
			if _, err := m.list.Join([]string{address}); err != nil {
				m.Log.Debug("join", "address", address, "error", err)
			}
			<-free
		})
	}
}

// strangers are the addresses to knock at: those configured and those of the last day, less the members'.
func (m *Members) strangers(ctx context.Context) []string {
	here := map[string]bool{}
	for _, x := range m.Alive() {
		here[x.Gossip] = true
	}
	for _, x := range m.Alive() { // members are met as long as they are here
		if x.Name != m.Name {
			m.known.met(x.Gossip)
		}
	}
	var list []string
	add := func(address string) {
		if !here[address] {
			here[address] = true
			list = append(list, address)
		}
	}
	for _, join := range m.Join {
		for _, address := range m.resolve(ctx, join) {
			add(address)
		}
	}
	for _, address := range m.known.recent() {
		add(address)
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
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
	if err != nil {
		m.Log.Info("resolve a cluster.join name", "name", host, "error", err)
	}
	list := make([]string, 0, len(found))
	for _, ip := range found {
		list = append(list, net.JoinHostPort(ip.Unmap().String(), port))
	}
	return list
}
