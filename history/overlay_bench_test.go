package history

import (
	"testing"

	"meshd/crdt"
)

// BenchmarkApply is what a window costs from the frame to the overlay, in order of time, 720 of a series and then a new one.
func BenchmarkApply(b *testing.B) {
	for _, k := range []crdt.Kind{crdt.KindCounter, crdt.KindRollup} {
		b.Run(k.String(), func(b *testing.B) {
			points := walk(k, 1, 720, 3)
			series := &crdt.Series{Name: "load", Kind: k}
			if k == crdt.KindRollup {
				series.Kind = crdt.KindGauge
			}
			var size int64
			n := 0
			for b.Loop() {
				s := open(b, newFakeKV())
				for i := range points {
					if err := s.Apply(uint64(i), nodeB, []Cell{{Series: series, Window: points[i].Window, Value: points[i].Value}}); err != nil {
						b.Fatal(err)
					}
				}
				size = s.OverlaySize()
				n += len(points)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/window")
			b.ReportMetric(float64(size)/float64(len(points)), "B/window")
		})
	}
}
