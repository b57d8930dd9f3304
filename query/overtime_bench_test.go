package query

import (
	"context"
	"fmt"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"meshd/crdt"
	"meshd/history"
)

// slices is a history of curves that are ready: what it takes to read one is not measured.
type slicesSource struct{ curves []*history.Curve }

func (s *slicesSource) Curves(_ context.Context, sel history.Selection, yield func(*history.Curve) error) error {
	for _, c := range s.curves {
		if !sel.Wants(c.Series) {
			continue
		}
		if err := yield(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *slicesSource) Series(context.Context, history.Selection, func(*crdt.Series) error) error {
	return nil
}

// hosts is one gauge of n hosts with points windows each.
func hosts(n, points int, width int64) *slicesSource {
	out := new(slicesSource)
	for h := range n {
		c := &history.Curve{Owner: history.Owner{Region: "eu"}, Series: series(crdt.KindGauge, "cpu", "host", fmt.Sprint("host-", h), "cpu", "1")}
		for p := range points {
			r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(hour+int64(p)*width, 0), Value: float64(p % 100)}})
			c.Points = append(c.Points, history.Point{Window: crdt.Window{Start: hour + int64(p)*width, Width: width}, Value: crdt.Value{Kind: crdt.KindRollup, X: r}})
		}
		out.curves = append(out.curves, c)
	}
	return out
}

func BenchmarkTotalsOverTime(b *testing.B) {
	span := func(s int64) string { return fmt.Sprintf("&start=%d&end=%d", hour/1000, hour/1000+s) }
	for _, row := range []struct {
		name string
		src  *slicesSource
		form string
	}{
		{"one series an hour in 10 s", hosts(1, 360, 10_000), "metric=cpu&agg=avg&step=10s" + span(3600)},
		{"1,000 series 12 h by host in hours", hosts(1000, 12, 3_600_000), "metric=cpu&agg=avg&by=host&step=1h" + span(12*3600)},
		{"10,000 series 12 h by host", hosts(10_000, 12, 3_600_000), "metric=cpu&agg=avg&by=host" + span(12*3600)},
		{"10,000 series 12 h in hours", hosts(10_000, 12, 3_600_000), "metric=cpu&agg=avg&step=1h" + span(12*3600)},
	} {
		b.Run(row.name, func(b *testing.B) {
			s, err := New(Config{Source: everyKind(), Registry: prometheus.NewRegistry(), History: row.src})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				w := httptest.NewRecorder()
				s.ServeHTTP(w, httptest.NewRequest("GET", "/v1/total?"+row.form, nil))
				if w.Code != 200 {
					b.Fatal(w.Body)
				}
			}
		})
	}
}
