package prom

import (
	"net/url"
	"strconv"
	"testing"

	"meshd/crdt"
	"meshd/history"
)

// TestWindowsMayBeAheadOfTheLifetime: windows travel without the lifetime that they belong to, so a reader may have some before it.
// A curve is never below zero, never falls, and ends at the more of both: both happened.
func TestWindowsMayBeAheadOfTheLifetime(t *testing.T) {
	const windows, each = 30, 10
	for name, lifetime := range map[string]uint64{"nothing": 0, "half": 150, "all": 300, "and what no window has yet": 340} {
		t.Run(name, func(t *testing.T) {
			m, s := new(mesh), counterSeries("hits")
			region := history.Owner{Region: "eu"}
			for w := range int64(windows) {
				for _, width := range []int64{10_000, 60_000, 3_600_000} {
					m.Add(region, s, history.Point{Window: crdt.WindowAt(epoch+w*10_000, width), Value: amount(each)})
				}
			}
			m.lifetime(region, s, amount(lifetime))
			stop := epoch + windows*10_000
			r := ask(t, newAPI(t, m, stop, nil), "/api/v1/query_range", url.Values{
				"query": {"hits"}, "start": {seconds(epoch + 60_000)}, "end": {seconds(stop)}, "step": {"10"},
			})
			if len(r.Data.Result) != 1 || len(r.Data.Result[0].Values) == 0 {
				t.Fatalf("got %+v, want a curve", r.Data)
			}
			last, want := 0.0, float64(max(lifetime, windows*each))
			for _, p := range r.Data.Result[0].Values {
				got, err := strconv.ParseFloat(p[1].(string), 64)
				if err != nil {
					t.Fatal(err)
				}
				if got < last || got > want {
					t.Errorf("at %v the curve is at %v, after %v, of %v", p[0], got, last, want)
				}
				last = got
			}
			if last != want {
				t.Errorf("the curve ends at %v, want %v", last, want)
			}
		})
	}
}
