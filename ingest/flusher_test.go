package ingest

import (
	"fmt"
	"testing"

	"meshd/crdt"
	"meshd/node"
)

// TestManyIncrementsAreSeveralBatches has a node that refuses the second batch once: nothing is lost, nothing is twice.
func TestManyIncrementsAreSeveralBatches(t *testing.T) {
	const series = 40_000
	d := newDoor(t, series)
	for i := range series {
		d.parser.packet(fmt.Appendf(nil, "hits:1|c|#n:%d", i), crdt.HLCFrom(1000, 0))
	}
	var sizes []int
	d.node.answer = func(b *node.Batch) node.Result {
		if sizes = append(sizes, len(b.Items)); len(sizes) == 2 {
			return node.Result{Err: node.ErrBusy}
		}
		return node.Result{Accepted: len(b.Items)}
	}
	d.flush.flush(t.Context())
	if len(sizes) != 2 || d.flush.pending() != uint64(series-sizes[0]) {
		t.Fatalf("batches of %v with one refused, %d samples left", sizes, d.flush.pending())
	}
	d.parser.packet([]byte("hits:1|c|#n:0"), crdt.HLCFrom(1000, 0)) // counting goes on
	d.flush.flush(t.Context())
	sum := crdt.Fixed{}
	for _, v := range d.node.totals {
		sum, _ = sum.Add(v.P)
	}
	if want := crdt.FixedFromUint(series + 1); sum != want || len(d.node.totals) != series || d.flush.pending() != 0 {
		t.Errorf("%v in %d series, want %v in %d; %d samples left", sum, len(d.node.totals), want, series, d.flush.pending())
	}
	for _, n := range sizes {
		if n >= 2*batchItems {
			t.Errorf("a batch of %d increments, want fewer than %d", n, 2*batchItems)
		}
	}
}
