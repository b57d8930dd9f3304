package reconcile

import (
	"testing"

	"meshd/crdt"
)

func TestSidesAreFoundByWhatTheyStandBeside(t *testing.T) {
	cat := NewCatalog()
	if cat.AnySides() {
		t.Error("an empty catalog has sides")
	}
	s := &crdt.Series{Name: "m", Kind: crdt.KindCounter, Labels: []crdt.Label{{Name: "a", Value: "b"}}}
	const one, two = "0000000000000001", "0000000000000002"
	sides := []crdt.Side{{ID: one, Node: "n"}, {ID: one, Minus: true, Node: "n"}, {ID: two, Node: "k"}}
	ids := map[SeriesID]bool{}
	for _, side := range append(sides, sides...) { // the second time all are known
		id, err := cat.Intern(s.Beside(side))
		if err != nil || !cat.IsSide(id) {
			t.Fatalf("%v: %v", side, err)
		}
		ids[id] = true
	}
	of, ok := cat.Find(s)
	if !ok || cat.IsSide(of) || !cat.AnySides() || len(ids) != 3 || cat.Len() != 4 || len(cat.Sorted()) != 4 {
		t.Fatalf("%d series, %d sides, found %v", cat.Len(), len(ids), ok)
	}
	for i, b := range cat.Sides(of) {
		if b.Side != sides[i] || !ids[b.Series] {
			t.Errorf("side %d is %+v, want %+v", i, b, sides[i])
		}
	}
	if got := cat.SidesOf(one); len(got) != 2 {
		t.Errorf("%v are of the first correction", got)
	}
	bad, err := cat.Intern((&crdt.Series{Name: "m", Kind: crdt.KindCounter}).Beside(crdt.Side{ID: "x", Node: "n"}))
	if err != nil || !cat.IsSide(bad) || cat.Len() != 5 {
		t.Errorf("a malformed side: %v, %d series", err, cat.Len())
	}
}
