//go:build linux

package bench

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// The relay's heap is asked for before anybody comes, when all are there, and at the end, after a collection each time.
func TestHeapIsReadFromTheAdminListener(t *testing.T) {
	collected, asked := 0, 0
	admin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.String() {
		case "/debug/pprof/heap?gc=1":
			collected++
		case "/metrics":
			if collected == 0 {
				t.Error("read without a collection")
			}
			collected = 0
			live := []int{1000, 1000 + 6*50, 1000 + 6*50 + 77}[asked]
			asked++
			fmt.Fprintf(w, "# TYPE x gauge\ngo_memstats_heap_alloc_bytes %d\ngo_memstats_stack_inuse_bytes 1e+06\n", live)
			fmt.Fprintf(w, "freshet_relay_gzip_memory_bytes %d\nfreshet_relay_gzip_refused_total 3\n", 10*asked)
		default:
			http.NotFound(w, r)
		}
	}))
	defer admin.Close()
	result, err := runAgainst(t, &naiveRelay{}, true, Load{Connections: 3, Streams: 2, AdminURL: admin.URL})
	if err != nil {
		t.Fatal(err)
	}
	if result.HeapPerSubscriber != 50 || result.HeapOfEvents != 77 || result.GzipMemory != 30 || result.GzipRefused != 3 {
		t.Errorf("%v bytes a subscriber, %d of events, %d compressed, %d refused", result.HeapPerSubscriber, result.HeapOfEvents,
			result.GzipMemory, result.GzipRefused)
	}
	if _, err := runAgainst(t, &naiveRelay{}, true, Load{Connections: 1, AdminURL: admin.URL + "/nowhere"}); err == nil {
		t.Error("an admin listener that does not answer passed")
	}
}
