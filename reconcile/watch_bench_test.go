package reconcile

import (
	"fmt"
	"testing"

	"meshd/crdt"
)

// BenchmarkTold is what a hub spends on one node that a sibling heard: once a beat for each.
func BenchmarkTold(b *testing.B) {
	const nodes = 5000
	w, names, incs := NewWatch(10_000), make([]string, nodes), make([]crdt.Incarnation, nodes)
	for i := range nodes {
		names[i], incs[i] = fmt.Sprintf("store-%d", i), crdt.Incarnation{byte(i), byte(i >> 8), 1}
		w.Names(names[i], incs[i], []Named{{Inc: crdt.Incarnation{1}, Head: [crdt.NumStreams]uint64{5}}}, 0)
	}
	covered := func(crdt.Incarnation) uint64 { return 1 << 40 }
	i := 0
	for b.Loop() {
		w.Told(names[i%nodes], Claim{Inc: incs[i%nodes], Head: uint64(i), AtMs: int64(i)}, 0)
		w.Settle(names[i%nodes], covered)
		i++
	}
}
