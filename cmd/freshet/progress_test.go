package main

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestThousands(t *testing.T) {
	for n, want := range map[uint64]string{0: "0", 999: "999", 1000: "1,000", 123456: "123,456", 1234567: "1,234,567"} {
		if got := thousands(n); got != want {
			t.Errorf("thousands(%d) = %q", n, got)
		}
	}
}

func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, live := range []bool{true, false} {
			var out strings.Builder
			p := &progress{terminal: &terminal{stderr: &out, live: live}, start: time.Now(), sent: 5000}
			p.draw(1)
			if out.Len() > 0 {
				t.Errorf("shown at once: %q", &out)
			}
			time.Sleep(2 * time.Second)
			p.draw(3000)
			p.finish(5000)
			want := "\r\x1b[K5,000 sent, 3,000 committed, 1,500 a second\r\x1b[K5,000 sent, 5,000 committed, 2,500 a second\n"
			if !live {
				want = ""
			}
			if out.String() != want {
				t.Errorf("live %v: %q, want %q", live, &out, want)
			}
		}
	})
}
