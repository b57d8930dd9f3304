package reconcile

import (
	"testing"

	"meshd/crdt"
)

// After the hubs of a region lost their disks, the entry of an earlier one comes back from other regions.
func TestTheFloorHoldsWhatDeadHubsKnewUntilTheTotalsContainIt(t *testing.T) {
	now := region(t, 2, map[string]uint64{"a": 3})
	e := NewEntries("hub", crdt.Incarnation{2}, now.Total.cat)
	// The dead process, and what it knew at its end.
	early, late := region(t, 1, map[string]uint64{"a": 3, "b": 4}), region(t, 1, map[string]uint64{"a": 3, "b": 6})
	f := NewFloor(crdt.Origin{Class: crdt.ClassView, Region: "r", Node: "hub", Inc: crdt.Incarnation{2}}, now.Total.cat)
	dead := func(o crdt.Origin) bool { return o.Inc == crdt.Incarnation{1} }
	update := func(dead func(crdt.Origin) bool, above int, cell string) {
		t.Helper()
		if err := f.Update(e, now.Total, dead); err != nil {
			t.Fatal(err)
		}
		if got := clicks(t, f.Cells); f.Above() != above || got != cell {
			t.Errorf("%d entries above the totals, floor %s, want %d and %s", f.Above(), got, above, cell)
		}
	}
	comes := func(g *Region) {
		t.Helper()
		if _, err := e.Apply(entryFrame(t, g, 0)); err != nil {
			t.Fatal(err)
		}
	}
	grows := func(seq, b uint64) {
		t.Helper()
		fr := frame(nodeOrigin("b"), seq-1, seq, nil, 0, b)
		if seq == 1 {
			fr = frame(nodeOrigin("b"), 0, 1, []string{"clicks"}, 0, b)
		}
		if _, err := now.Apply(fr); err != nil {
			t.Fatal(err)
		}
		now.Total.Close()
	}

	update(dead, 0, "none")
	comes(early)
	update(func(crdt.Origin) bool { return false }, 0, "none") // a living hub answers for itself
	update(dead, 1, "7")
	grows(1, 4) // the edge tells its hub again
	update(dead, 0, "7")
	comes(late)
	update(dead, 1, "9")
	grows(2, 6)
	update(dead, 0, "9")
}

func TestSeriesAreSortedByTheirKeysAsTheyCome(t *testing.T) {
	cat := NewCatalog()
	for n, name := range []string{"m", "z", "a", "m"} {
		mustIntern(t, cat, name)
		var last string
		for _, id := range cat.Sorted() {
			if name := cat.Series(id).Name; name <= last {
				t.Errorf("%q comes after %q", name, last)
			} else {
				last = name
			}
		}
		if want := min(n+1, 3); cat.Len() != want || len(cat.Sorted()) != want {
			t.Errorf("%d series, %d of them sorted, want %d", cat.Len(), len(cat.Sorted()), want)
		}
	}
}
