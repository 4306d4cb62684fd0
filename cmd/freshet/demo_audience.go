package main

import (
	"bufio"
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	audienceMetric = "freshet_relay_subscribers"
	audienceAge    = 250 * time.Millisecond // however many pages ask
)

// audience is how many streams the relay serves, as its metrics tell. It asks
// the admin handler, not the admin listener, which may be off.
type audience struct {
	admin http.Handler // static after construction

	// mu makes one question of many at once.
	mu    sync.Mutex
	asked time.Time
	size  int
}

// subscribers returns the latest number.
func (a *audience) subscribers() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.asked) < audienceAge {
		return a.size
	}
	a.asked = time.Now()
	r, err := http.NewRequest(http.MethodGet, "http://localhost/metrics", nil)
	if err != nil {
		return a.size
	}
	var page metricsPage
	a.admin.ServeHTTP(&page, r)
	lines := bufio.NewScanner(&page.text)
	for lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), audienceMetric+" "); ok {
			if size, err := strconv.ParseFloat(text, 64); err == nil {
				a.size = int(size)
			}
		}
	}
	return a.size
}

// metricsPage is a response that stays in this process.
type metricsPage struct {
	header http.Header
	text   bytes.Buffer
}

func (p *metricsPage) Header() http.Header {
	if p.header == nil {
		p.header = http.Header{}
	}
	return p.header
}

func (p *metricsPage) Write(b []byte) (int, error) { return p.text.Write(b) }

func (p *metricsPage) WriteHeader(int) {} // an error has no such metric in it
