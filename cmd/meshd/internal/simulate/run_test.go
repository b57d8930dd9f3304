package simulate

import (
	"testing"
	"time"
)

// BenchmarkMesh measures virtual seconds of meshes under the load of docs/figures.md.
func BenchmarkMesh(b *testing.B) {
	for _, c := range []struct {
		name           string
		nodes, regions int
	}{{"100 nodes", 100, 20}, {"1000 nodes", 1000, 20}} {
		b.Run(c.name, func(b *testing.B) {
			const virtual = 15 * time.Second
			for range b.N {
				r, err := Start(Mesh{Nodes: c.nodes, Regions: c.regions, Duration: virtual, Flush: time.Second, Seed: 1}, nil)
				if err != nil || len(r.Report.Violations) > 0 {
					b.Fatal(err, r.Report.Violations)
				}
			}
			b.ReportMetric(float64(b.N)*virtual.Seconds()/b.Elapsed().Seconds(), "virtual-s/s")
		})
	}
}
