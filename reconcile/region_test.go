package reconcile

import (
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
)

// TestReplacedCellsAreCountedOnce: what replaces copies of some origins contains them. Afterwards the totals are those of what
// came in and of everybody else, and no total fell, also where a copy had more than what replaced it.
func TestReplacedCellsAreCountedOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := NewRegion(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "hub"}, NewCatalog())
		apply := func(node string, n uint64) {
			if _, err := g.Apply(frame(nodeOrigin(node), 0, 1, []string{"a"}, 0, n)); err != nil {
				t.Fatal(err)
			}
		}
		amount := rapid.Uint64Range(0, 9)
		other, want := amount.Draw(t, "other"), uint64(0)
		apply("other", other)
		in := NewDerived(crdt.Origin{Class: crdt.ClassRegion, Region: "r", Node: "n"}, g.cat)
		id, _ := g.cat.Find(&crdt.Series{Name: "a", Kind: crdt.KindCounter})
		var out []*Replica
		had := uint64(0)
		for _, node := range []string{"n1", "n2", "n3"}[:rapid.IntRange(0, 3).Draw(t, "copies")] {
			n := amount.Draw(t, node)
			apply(node, n)
			out = append(out, g.Held(nodeOrigin(node)))
			had += n
		}
		sums := had + amount.Draw(t, "gained")
		if rapid.Bool().Draw(t, "copies had more") {
			sums = amount.Draw(t, "sums")
		}
		v := counter(sums)
		if _, err := in.Raise(id, &v); err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second time the sums replace themselves
			if err := g.Replace(out, &in.Replica); err != nil {
				t.Fatal(err)
			}
			for _, r := range out {
				g.Drop(r.Origin)
			}
			want = other + max(had, sums)
			if got, _ := g.Total.Cell(id); got.P != crdt.FixedFromUint(want) {
				t.Fatalf("the total is %s, want %d", got.P, want)
			}
			out, had = []*Replica{&in.Replica}, max(had, sums)
			v := counter(had)
			if _, err := in.Raise(id, &v); err != nil {
				t.Fatal(err)
			}
		}
	})
}
