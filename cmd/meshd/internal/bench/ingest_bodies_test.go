package bench

import "testing"

func TestSeriesAreCutEvenly(t *testing.T) {
	for _, c := range []struct{ series, batch, requests, smallest, largest int }{
		{2000, 2000, 1, 2000, 2000},
		{2500, 2000, 2, 1250, 1250},
		{7, 3, 3, 2, 3},
		{1, 2000, 1, 1, 1},
	} {
		spans := evenly(c.series, c.batch)
		next, smallest, largest := 0, c.series, 0
		for _, s := range spans {
			if s[0] != next {
				t.Fatalf("%d by %d: %v has a hole or an overlap", c.series, c.batch, spans)
			}
			next = s[1]
			smallest, largest = min(smallest, s[1]-s[0]), max(largest, s[1]-s[0])
		}
		if next != c.series || len(spans) != c.requests || smallest != c.smallest || largest != c.largest {
			t.Errorf("%d by %d: %v", c.series, c.batch, spans)
		}
	}
}
