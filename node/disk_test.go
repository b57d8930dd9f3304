package node

import (
	"fmt"
	"testing"

	"meshd/crdt"
	"meshd/internal/wire"
	"meshd/reconcile"
)

// TestACheckpointLeavesNothingOfOlderOnes: what an origin takes on disk may become less, and cells come from one part into another. A cell
// of before would stand beside the one of now.
func TestACheckpointLeavesNothingOfOlderOnes(t *testing.T) {
	o := crdt.Origin{Class: crdt.ClassNode, Region: "east", Node: "edge", Inc: crdt.Incarnation{1}}
	counters := func(n int) *reconcile.Replica {
		f := &wire.Frame{Origin: o, To: 1, Head: 1}
		for ref := range uint32(n) {
			f.Defs = append(f.Defs, wire.Def{Ref: ref, Seq: 1, Series: crdt.Series{Name: fmt.Sprintf("orders.%d", ref), Kind: crdt.KindCounter}})
			f.Cells = append(f.Cells, wire.Cell{Ref: ref, Seq: 1, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}})
		}
		r := reconcile.NewReplica(o, reconcile.NewCatalog())
		if _, err := r.Apply(f, nil); err != nil {
			t.Fatal(err)
		}
		return r
	}
	var d diskLog
	d.init()
	disk := map[string]bool{}
	for _, step := range []struct {
		counters, parts int
		lost            bool // the persist fails
	}{{10_000, 0, false}, {10, 1, true}, {10, 1, false}, {10_000, 0, false}, {20, 1, false}} {
		ops, _ := d.snapshotOps(nil, counters(step.counters), false, 0)
		if step.lost {
			continue
		}
		for _, op := range ops {
			disk[string(op.Key)] = !op.Delete
		}
		parts := 0
		for part := range 100 {
			if disk[string(cellsKey(o, part))] {
				parts++
			}
		}
		if step.parts == 0 && parts < 2 || step.parts > 0 && parts != step.parts {
			t.Errorf("%d counters are in %d parts on disk", step.counters, parts)
		}
	}
}
