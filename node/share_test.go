package node

import (
	"testing"

	"meshd/crdt"
)

// TestSeriesAreShared: who asks for it gets the node's own copy of a series; whoever else has what it had, and so has who meant another one.
func TestSeriesAreShared(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.Limits.Series = 1
	p := w.start("hub", "east", RoleHub)
	w.run(100)
	submit := func(name string, share bool) (was, is *crdt.Series) {
		s := &crdt.Series{Name: name, Kind: crdt.KindCounter}
		b := &Batch{Share: share, Items: []Item{{Series: s, Inc: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(1)}}}}
		w.ids++
		w.step(p, Submit{ID: w.ids, Batch: b})
		w.run(100)
		return s, b.Items[0].Series
	}
	_, first := submit("m", true)
	if was, again := submit("m", true); again != first || again == was {
		t.Error("the node has several copies of one series")
	}
	if was, is := submit("m", false); is != was {
		t.Error("the series of a batch that did not ask for it was changed")
	}
	if was, is := submit("beyond the limit", true); is != was {
		t.Errorf("%s was counted on %s, and the batch says so", was, is)
	}
}
