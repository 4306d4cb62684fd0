package main

import (
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestAudience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		size, status, asked := 3, 200, 0
		a := &audience{admin: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			w.WriteHeader(status)
			if status == 200 {
				fmt.Fprintf(w, "# TYPE %s gauge\n%s_limit 9\n%s %d\n", audienceMetric, audienceMetric, audienceMetric, size)
			}
		})}
		want := func(n, questions int) {
			t.Helper()
			if got := a.subscribers(); got != n || asked != questions {
				t.Errorf("%d subscribers after %d questions, want %d after %d", got, asked, n, questions)
			}
		}
		want(3, 1)
		size = 4
		want(3, 1) // not asked again at once
		time.Sleep(audienceAge)
		want(4, 2)
		status = 503
		time.Sleep(audienceAge)
		want(4, 3) // better old than none
	})
}
