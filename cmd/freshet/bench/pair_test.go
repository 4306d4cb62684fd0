//go:build linux

package bench

import (
	"strings"
	"testing"
)

func TestPairTellsItsHalvesApart(t *testing.T) {
	result, err := runAgainst(t, &naiveRelay{}, true, Load{Connections: 4, Streams: 100, Pair: true, Lifelike: true})
	if err != nil {
		t.Fatal(err)
	}
	with, without := result.Gzip, result.Identity
	if with.Delivered == 0 || with.Delivered != without.Delivered || with.Delivered+without.Delivered >= result.Delivered {
		t.Errorf("%d deliveries with gzip, %d without, of %d with the warm-up", with.Delivered, without.Delivered, result.Delivered)
	}
	if with.Bytes > without.Bytes*3/4 || without.Bytes < float64(result.EventSize) {
		t.Errorf("%.0f bytes a delivery with gzip, %.0f without", with.Bytes, without.Bytes)
	}
	if with.LatencyP50 <= 0 || without.LatencyP50 <= 0 || result.Decoded == 0 {
		t.Errorf("p50 %v and %v, %d streams decoded", with.LatencyP50, without.LatencyP50, result.Decoded)
	}
	var table strings.Builder
	result.Print(&table)
	for _, want := range []string{"\nidentity ", "\ngzip "} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("the table has no line%s:\n%s", want, table.String())
		}
	}
}
