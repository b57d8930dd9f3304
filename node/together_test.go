package node

import (
	"testing"

	"meshd/crdt"
)

// TestVersionsThatLackSomethingOfEachOtherAreJoined: a region's only hub loses its disk, of what it counted a sum is left
// elsewhere, and rules are lifted before more is counted. A hub of another region that is started anew then reads both from
// its disk; its edge heard of one before the other. They must answer the same, and nothing less than before.
func TestVersionsThatLackSomethingOfEachOtherAreJoined(t *testing.T) {
	w := newWorld(t, 97)
	for _, r := range []string{"east", "west"} {
		w.start(r+"-hub", r, RoleHub)
		w.start(r+"-edge", r, RoleEdge)
	}
	lane := func(name, lane string, n uint64) {
		w.ids++
		w.step(w.procs[name], Submit{ID: w.ids, Batch: &Batch{Items: []Item{{
			Series: &crdt.Series{Name: "web.hits", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "lane", Value: lane}, {Name: "till", Value: name}}},
			Inc:    crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(n)},
		}}}})
	}
	w.run(3000)
	w.configure("west-hub", `{"rollup":[{"match":"web.*","drop":["till"]}]}`)
	lane("east-hub", "1", 100) // on no other disk
	w.run(5000)
	w.kill("east-hub")
	w.procs["east-hub"].disk = map[string][]byte{}
	w.start("east-hub", "east", RoleHub)
	w.run(5000)
	w.configure("west-hub", `{"rollup":[]}`)
	lane("east-edge", "2", 7)
	w.run(5000)
	w.kill("west-hub")
	w.start("west-hub", "west", RoleHub)
	w.run(10_000)
	for _, name := range []string{"west-hub", "west-edge"} {
		if got, n := w.total(name, "web.hits"), w.series(name, "web.hits", "east"); got != "107" || n != 2 {
			t.Errorf("%s answers %s in %d series, want 107 in two", name, got, n)
		}
		cov := w.procs[name].core.coverage("east")
		if !cov.CompleteUntil.IsZero() {
			t.Errorf("%s says that east is complete until %v", name, cov.CompleteUntil)
		}
	}
}
