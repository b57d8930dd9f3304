package node

import (
	"testing"
)

// TestWhatAnEdgeAnsweredWithIsNotJoinedToWhatABegunAnewHubSends: a region's only hub loses its disk soon after rules dropped a label, and
// counts with all labels until it hears of them again. With the old cells that would hold more than the sums do; hubs have
// let go of those, so the edge would answer with what nobody brings up to date.
func TestWhatAnEdgeAnsweredWithIsNotJoinedToWhatABegunAnewHubSends(t *testing.T) {
	w := newWorld(t, 96)
	w.start("east-hub", "east", RoleHub)
	w.start("east-edge", "east", RoleEdge)
	w.start("west-hub", "west", RoleHub)
	w.start("west-edge", "west", RoleEdge)
	w.run(3000)
	w.hit("east-hub", "web.hits", 100) // on no other disk
	w.hit("east-edge", "web.hits", 5)
	w.run(3000)
	whole := w.procs["east-hub"].core.hub.region.Total.Origin
	w.ids++
	w.step(w.procs["west-hub"], SetConfig{ID: w.ids, Doc: []byte(`{"rollup":[{"match":"web.*","drop":["till"]}]}`)})
	for until := w.now + 10_000; w.now < until && w.procs["west-hub"].core.hub.entries.Held(whole) != nil; w.run(1) {
		if edge := w.procs["west-edge"].core; edge.scopes.rules != nil {
			edge.nextAE = w.now + 10_000 // it sweeps late
		}
	}
	if n := w.series("west-edge", "web.hits", "east"); n != 1 || w.procs["west-hub"].core.hub.entries.Held(whole) != nil {
		t.Fatalf("the edge answers with %d series, want the sum", n)
	}
	w.kill("east-hub")
	w.procs["east-hub"].disk = map[string][]byte{}
	w.hit("east-edge", "web.hits", 30)
	w.run(100)
	w.start("east-hub", "east", RoleHub)
	w.run(30_000)
	w.hit("east-edge", "web.hits", 70)
	w.run(10_000)
	for _, name := range []string{"west-hub", "west-edge"} {
		if got, n := w.total(name, "web.hits"), w.series(name, "web.hits", "east"); got != "105" || n != 1 {
			t.Errorf("%s answers %s in %d series, want 105 in one", name, got, n)
		}
	}
}
