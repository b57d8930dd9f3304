package history

import (
	"math"
	"math/rand/v2"
	"testing"

	"meshd/crdt"
)

// walks are the windows of CPU series: integers 0..100 in random walks, counted and as a gauge.
func walk(k crdt.Kind, seed uint64, n int, jitterMillis int64) []Point {
	rnd := rand.New(rand.NewPCG(seed, 1))
	points, v := make([]Point, n), float64(rnd.IntN(101))
	phase := rnd.Int64N(9_000)
	for i := range points {
		v = min(max(v+rnd.NormFloat64(), 0), 100)
		w := crdt.Window{Start: int64(i) * 10_000, Width: 10_000}
		value := crdt.Value{Kind: k, P: crdt.FixedFromUint(uint64(v))}
		if k == crdt.KindRollup {
			at := w.Start + phase + rnd.Int64N(jitterMillis+1)
			r := crdt.RollupOf([]*crdt.Gauge{{Time: crdt.HLCFrom(at, 0), Value: math.Floor(v)}})
			r.Stamp = 1
			value = crdt.Value{Kind: k, X: r}
		}
		points[i] = Point{Window: w, Value: value}
	}
	return points
}

func BenchmarkChunk(b *testing.B) {
	for _, row := range []struct {
		name   string
		points []Point
	}{
		{"counter", walk(crdt.KindCounter, 1, 2160, 0)},
		{"counter-4320", walk(crdt.KindCounter, 1, 4096, 0)},
		{"gauge", walk(crdt.KindRollup, 1, 2160, 0)},
		{"gauge-jitter", walk(crdt.KindRollup, 1, 2160, 3)},
	} {
		b.Run(row.name, func(b *testing.B) {
			var e encoder
			var d decoder
			chunk := e.appendChunk(nil, 0, row.points)
			b.Run("append", func(b *testing.B) {
				for b.Loop() {
					chunk = e.appendChunk(chunk[:0], 0, row.points)
				}
				b.ReportMetric(float64(len(chunk))/float64(len(row.points)), "B/point")
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(row.points)), "ns/point")
			})
			b.Run("read", func(b *testing.B) {
				var points []Point
				for b.Loop() {
					d.reset()
					var err error
					if points, err = d.points(points[:0], chunk, 0, 10_000, 0, math.MaxInt64); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(row.points)), "ns/point")
			})
		})
	}
}
