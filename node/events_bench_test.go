package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// BenchmarkCommit is what the core does for an item of a request with a thousand, on a disk that costs nothing.
func BenchmarkCommit(b *testing.B) {
	for _, kept := range []bool{false, true} {
		b.Run(fmt.Sprintf("events=%t", kept), func(b *testing.B) {
			w := newWorld(b, 1)
			w.cfg.EventBytes = 1 << 30
			p := w.start("edge", "east", RoleEdge)
			batch := &Batch{}
			for i := range 1000 {
				s := &crdt.Series{Name: "click", Kind: crdt.KindCounter}
				for j, of := range []int{200, 50, 3, 6, 20} {
					s.Labels = append(s.Labels, crdt.Label{Name: string(rune('a' + j)), Value: fmt.Sprint(i % of)})
				}
				it := Item{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}
				if kept {
					it.Raw = s
				}
				batch.Items = append(batch.Items, it)
			}
			for b.Loop() {
				w.ids++
				w.step(p, Submit{ID: w.ids, Batch: batch})
				w.step(p, Persisted{Token: p.persist.Token})
				if kept {
					w.step(p, EventsTaken{UpTo: p.core.raw.next() - 1})
				}
				for p.core.pending != nil { // what it deletes
					w.step(p, Persisted{Token: p.persist.Token})
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/item")
		})
	}
}
