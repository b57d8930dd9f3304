package query

import (
	"context"
	"fmt"
	"net/http/httptest"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/history"
	"meshd/node"
)

// manyAds is how many ads are clicked on in the benchmarks: half of them in each of two countries.
const manyAds = 2_000_000

func adSeries(i int) *crdt.Series {
	return series(crdt.KindCounter, "clicks", "ad", fmt.Sprint(i), "country", []string{"de", "fr"}[i%2])
}

// noDisk is a disk with nothing on it: all windows are in memory, as the newest two hours are.
type noDisk struct{}

func (noDisk) Get([]byte) ([]byte, error)                   { return nil, nil }
func (noDisk) Scan([]byte, func(_, _ []byte) error) error   { return nil }
func (noDisk) Keys(_, _ []byte, _ func([]byte) error) error { return nil }
func (noDisk) Commit([]history.Op) error                    { return nil }

// heldRows is a node with a row for every ad.
type heldRows struct {
	fakeSource
	all []*crdt.Series
}

func (h *heldRows) Totals(_ context.Context, sel node.Select) (*node.Totals, error) {
	for i, s := range h.all {
		if sel.Match(s) {
			if err := sel.Each(&node.Row{Series: s, Region: "eu", Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i * 7919 % manyAds))}}); err != nil {
				return nil, err
			}
		}
	}
	return &node.Totals{}, nil
}

// BenchmarkTopAds asks for the 100 most clicked of two million ads: of all time, and of each of the last ten minutes, in each of which a
// fifth of them is clicked on. MiB-more is by how much
// the heap grew for it.
func BenchmarkTopAds(b *testing.B) {
	end := time.Date(2026, 3, 14, 12, 0, 0, 0, time.UTC)
	h, err := history.Open(history.Config{KV: noDisk{}, Now: func() time.Time { return end }, OverlayBytes: 1 << 40})
	if err != nil {
		b.Fatal(err)
	}
	hub := crdt.Origin{Class: crdt.ClassRegion, Region: "eu", Node: "h", Inc: crdt.Incarnation{1}}
	src := &heldRows{all: make([]*crdt.Series, manyAds)}
	for i := range src.all {
		src.all[i] = adSeries(i)
		var cells []history.Cell
		for _, m := range []int{i % 10, (i + i/10) % 10} {
			w := crdt.Window{Start: end.Add(time.Duration(m-10) * time.Minute).UnixMilli(), Width: 60_000}
			cells = append(cells, history.Cell{Series: src.all[i], Window: w, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(uint64(i*7919%manyAds + m))}})
		}
		if err := h.Apply(uint64(i+1), hub, cells); err != nil {
			b.Fatal(err)
		}
	}
	s, err := New(Config{Source: src, Registry: prometheus.NewRegistry(), History: h, Timeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	minutes := "&step=1m&start=" + end.Add(-10*time.Minute).Format(time.RFC3339) + "&end=" + end.Format(time.RFC3339)
	for _, q := range []struct{ name, form string }{
		{"sum of all", "metric=clicks"},
		{"top of all time", "metric=cl*&by=ad&top=100"},
		{"top of all time, one country", "metric=clicks&match=country=de&by=ad&top=100"},
		{"top of ten minutes", "metric=clicks&by=ad&top=100" + minutes},
		{"top of ten minutes, one country", "metric=cl*&match=country=de&by=ad&top=100" + minutes},
	} {
		b.Run(q.name, func(b *testing.B) {
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/total?"+q.form, nil))
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(int64(after.HeapSys)-int64(before.HeapSys))/(1<<20), "MiB-more")
		})
	}
}
