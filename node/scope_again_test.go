package node

import (
	"testing"

	"meshd/crdt"
	"meshd/reconcile"
)

// TestWhatAnEdgeLetGoOfComesAgainWhenRulesAreLifted: an edge turned to sums and let go of all labels. Rules are lifted before its hub
// let go of them, too, so in the hub's view they never went: it sends only what changes. All labels at the edge would be what was
// counted since, within the sums, which nobody brings up to date: it answered with these for good, and called that complete.
func TestWhatAnEdgeLetGoOfComesAgainWhenRulesAreLifted(t *testing.T) {
	w := newWorld(t, 99)
	w.start("east-hub", "east", RoleHub)
	w.start("east-edge", "east", RoleEdge)
	w.start("west-hub", "west", RoleHub)
	w.start("west-edge", "west", RoleEdge)
	w.run(3000)
	w.hit("east-hub", "web.hits", 100)
	w.hit("east-edge", "web.hits", 5)
	w.run(3000)
	hub, edge := w.procs["west-hub"].core, w.procs["west-edge"].core
	run := func(ms int64, until func() bool) {
		for at := w.now + ms; w.now < at && (until == nil || !until()); w.run(1) {
			hub.hub.retired = nil // it lets go of nothing yet
		}
	}
	w.ids++
	w.step(w.procs["east-hub"], SetConfig{ID: w.ids, Doc: []byte(`{"rollup":[{"match":"web.*","drop":["till"]}]}`)})
	run(10_000, func() bool { return edge.scopes.rules != nil && w.series("west-edge", "web.hits", "east") == 1 })
	w.hit("east-edge", "web.hits", 1) // the next that comes lets it go of the rest
	run(1000, nil)
	n := 0
	edge.views.Region("east").Each(func(reconcile.SeriesID, *crdt.Value, uint64) { n++ })
	if n != 1 || hub.hub.entries.Anew("east") != 0 {
		t.Fatalf("the edge holds %d series, its hub's view was made anew %d times", n, hub.hub.entries.Anew("east"))
	}
	w.ids++
	w.step(w.procs["east-hub"], SetConfig{ID: w.ids, Doc: []byte(`{}`)})
	run(10_000, func() bool { return edge.scopes.rules == nil })
	if until := edge.coverage("east").CompleteUntil; !until.IsZero() {
		t.Errorf("east is complete until %v at an edge that let go of it", until)
	}
	w.hit("east-edge", "web.hits", 30)
	counted := w.now
	run(3000, func() bool { return edge.coverage("east").CompleteUntil.UnixMilli() > counted })
	if got, n := w.total("west-edge", "web.hits"), w.series("west-edge", "web.hits", "east"); got != "136" || n != 2 {
		t.Errorf("the edge answers %s in %d series, want 136 in two", got, n)
	}
	w.wholeSince("west-edge", "east", 2, counted)
	if hub.hub.entries.Anew("east") != 0 {
		t.Error("the hub made its view anew: that sends all of it anyway")
	}
}
