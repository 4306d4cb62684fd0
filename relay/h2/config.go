package h2

// Config is what all connections share. It must not change once a Conn uses it.
type Config struct {
	// MaxStreams is how many streams a peer may have open at once; more are refused
	// with REFUSED_STREAM, which is safe to retry. 0 means 1,000.
	MaxStreams uint32

	// MaxHeaderList bounds the size of a request's fields in octets, counted as RFC 9113
	// 6.5.2 does. More is answered 431, more than twice as much ends the connection. 0 means 16 KiB.
	MaxHeaderList uint32

	// StreamWindow is how much of a request's body a peer may send ahead of
	// Stream.Consume, in octets. 0 means 64 KiB - 1.
	StreamWindow int32

	// ConnWindow is the same over all streams of a connection. RFC 9113 6.9.2 does not let it
	// be smaller than 64 KiB - 1, which is what 0 or anything smaller means.
	ConnWindow int32

	// MaxOutput bounds the answers that wait in Conn.Output because the peer does not read,
	// in octets. 0 means 8 KiB and 16 octets for each of MaxStreams.
	MaxOutput int

	// Resets pays for each stream that ends before its response: reset by the peer
	// (CVE-2023-44487), by a mistake of the peer that makes us reset it (CVE-2025-8671), or
	// refused. It pays too for frames other than WINDOW_UPDATE on streams that are gone. Zero
	// means a burst of 100 and two for each of MaxStreams, 100 a second.
	Resets Budget

	// Control pays for PING, SETTINGS, PRIORITY, CONTINUATION and unknown frames, and for DATA
	// without an octet. Zero means a burst of 250, 25 a second.
	Control Budget

	// Updates pays for WINDOW_UPDATE frames, and for DATA frames that a window made
	// shorter than 64 octets. Each other DATA frame sent, and each request, earns 4. Zero means a burst
	// of 500 and four for each of MaxStreams, 50 a second.
	Updates Budget
}

// A Budget bounds how often a peer may do what costs us more than it. A connection
// begins with Burst, earns Rate a second up to Burst again, and is closed with
// ENHANCE_YOUR_CALM when it has nothing left.
type Budget struct {
	Burst uint32 // 0: the default named at the field
	Rate  uint32 // a second; 0: the default named at the field
}

// limits is a Config with its defaults filled in.
type limits struct {
	streams      int
	headerList   uint32
	block        int // octets of an encoded header block
	streamWindow int32
	connWindow   int32
	output       int
	budget       [budgets]Budget
}

func (cfg *Config) limits() limits {
	l := limits{
		streams:      int(or(cfg.MaxStreams, 1000)),
		headerList:   min(or(cfg.MaxHeaderList, 16<<10), 1<<20),
		streamWindow: or(cfg.StreamWindow, firstWindow),
		connWindow:   max(cfg.ConnWindow, firstWindow),
	}
	l.block = 2 * int(l.headerList)
	streams := uint32(min(l.streams, 1<<20))
	l.output = or(cfg.MaxOutput, 8<<10+16*int(streams))
	l.budget = [budgets]Budget{
		resets:  cfg.Resets.or(100+2*streams, 100),
		control: cfg.Control.or(250, 25),
		updates: cfg.Updates.or(500+4*streams, 50),
	}
	return l
}

func (b Budget) or(burst, rate uint32) Budget {
	return Budget{Burst: min(or(b.Burst, burst), 1<<30), Rate: or(b.Rate, rate)}
}

// or is v, or unset if v is zero.
func or[T comparable](v, unset T) T {
	var zero T
	if v == zero {
		return unset
	}
	return v
}
