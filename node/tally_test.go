package node

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/reconcile"
)

// Tallies are maps: through several commits, of which each begins with nothing of the one before.
func TestTalliesAreMaps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var ts tallies
		for range rapid.IntRange(1, 4).Draw(t, "commits") {
			n := rapid.IntRange(1, maxDense+2).Draw(t, "tallies")
			models, taken := make([]map[reconcile.SeriesID]crdt.Value, n), make([]*tally, n)
			for i := range n {
				models[i], taken[i] = map[reconcile.SeriesID]crdt.Value{}, ts.next()
			}
			for range rapid.IntRange(0, 40).Draw(t, "amounts") {
				i, id := rapid.IntRange(0, n-1).Draw(t, "tally"), reconcile.SeriesID(rapid.IntRange(0, 30).Draw(t, "series"))
				inc := crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(rapid.Uint64Range(1, 9).Draw(t, "amount"))}
				model, held := models[i][id]
				if cur := taken[i].get(id); held != (cur != nil) {
					t.Fatalf("series %d is held: %v, want %v", id, cur != nil, held)
				} else if cur == nil {
					model = crdt.Bottom(crdt.KindCounter)
					cur = taken[i].put(id, model)
					if err := cur.Grow(&inc); err != nil {
						t.Fatal(err)
					}
				} else if err := cur.Grow(&inc); err != nil {
					t.Fatal(err)
				}
				if err := model.Grow(&inc); err != nil {
					t.Fatal(err)
				}
				models[i][id] = model
			}
			for i, tl := range taken {
				if want := slices.Sorted(maps.Keys(models[i])); tl.len() != len(want) || !slices.Equal(tl.sorted(), want) {
					t.Fatalf("tally %d has series %v, want %v", i, tl.sorted(), want)
				}
				for id, want := range models[i] {
					if got := tl.get(id); *got != want {
						t.Fatalf("tally %d has %v of series %d, want %v", i, *got, id, want)
					}
				}
			}
			ts.clear()
		}
		if len(ts.all) > maxDense {
			t.Fatalf("%d tallies are kept, want at most %d", len(ts.all), maxDense)
		}
	})
}

// What a tally keeps for the next commit holds no state, and no more room than it may.
func TestTalliesKeepNothing(t *testing.T) {
	var ts tallies
	tl := ts.next()
	tl.put(3, crdt.Value{Kind: crdt.KindObserved, X: new(crdt.Observed)})
	ts.clear()
	if kept := tl.values[:1][0]; kept != (crdt.Value{}) {
		t.Errorf("%v is kept", kept)
	}
	tl = ts.next()
	for id := range reconcile.SeriesID(2 * maxTallyRoom) {
		tl.put(id, crdt.Bottom(crdt.KindCounter))
	}
	ts.clear()
	if cap(tl.values) > maxTallyRoom || cap(tl.ids) > maxTallyRoom {
		t.Errorf("room for %d and %d series is kept, want at most %d", cap(tl.values), cap(tl.ids), maxTallyRoom)
	}
}
