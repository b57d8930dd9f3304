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

// TestADoorHoldsTheNodesSeries: of a series that the node has the door keeps no copy, and goes on counting on its own where a rule changed it.
func TestADoorHoldsTheNodesSeries(t *testing.T) {
	d := newDoor(t, 10)
	nodes := map[string]*crdt.Series{}
	var came []*crdt.Series
	d.node.answer = func(b *node.Batch) node.Result {
		if !b.Share {
			t.Fatal("the batch wants no series of the node")
		}
		for i := range b.Items {
			it := &b.Items[i]
			came = append(came, it.Series)
			own := *it.Series
			if own.Name == "renamed" {
				own.Name = "other"
			}
			if nodes[it.Series.Name] == nil {
				nodes[it.Series.Name] = &own
			}
			it.Series = nodes[it.Series.Name]
		}
		return node.Result{Accepted: len(b.Items)}
	}
	for range 2 {
		came = nil
		d.parser.packet([]byte("kept:1|c|#a:b\nrenamed:1|c"), crdt.HLCFrom(1000, 0))
		d.flush.flush(t.Context())
	}
	for _, s := range came {
		switch own := nodes[s.Name]; {
		case s.Name == "kept" && s != own:
			t.Error("the door holds a copy of a series that the node has")
		case s.Name != "kept" && s.Name != "renamed":
			t.Errorf("the door counts on %s, which a rule made", s)
		}
	}
}
