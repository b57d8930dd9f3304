package reconcile

import (
	"fmt"
	"slices"
	"testing"

	"meshd/crdt"
)

func TestAClaimCountsOnceItsCellsAreCovered(t *testing.T) {
	w, covered := NewWatch(2000), uint64(0)
	at := func(crdt.Incarnation) uint64 { return covered }
	w.Claim("e", Claim{Head: 3, AtMs: 1000})
	w.Claim("e", Claim{Head: 5, AtMs: 2000})
	for _, step := range []struct {
		covered uint64
		asOf    int64
	}{{2, 0}, {3, 1000}, {4, 1000}, {5, 2000}} {
		covered = step.covered
		if w.Settle("e", at); w.AsOf("e") != step.asOf {
			t.Errorf("covered %d: complete until %d, want %d", covered, w.AsOf("e"), step.asOf)
		}
	}
	w.Settle("nobody", at)
	if w.AsOf("nobody") != 0 {
		t.Error("a node that nobody expects is complete")
	}
}

func TestEarlierIncarnationsHoldAClaimBack(t *testing.T) {
	old, live := crdt.Incarnation{1}, crdt.Incarnation{2}
	w, covered := NewWatch(2000), map[crdt.Incarnation]uint64{live: 9, old: 6}
	w.Names("e", live, []Named{{Inc: old, Head: [crdt.NumStreams]uint64{7}}, {Inc: live, Live: true, Head: [crdt.NumStreams]uint64{99}}}, 500)
	w.Claim("e", Claim{Inc: live, Head: 9, AtMs: 1000})
	at := func(i crdt.Incarnation) uint64 { return covered[i] }
	if w.Settle("e", at); w.AsOf("e") != 0 {
		t.Error("complete, though cells of an earlier incarnation are missing")
	}
	covered[old] = 7
	if w.Settle("e", at); w.AsOf("e") != 1000 {
		t.Error("not complete, though all is covered")
	}
}

func TestUnsettledClaimsAreBounded(t *testing.T) {
	w := NewWatch(2000)
	for i := range 10 * maxClaims {
		w.Claim("e", Claim{Head: uint64(i + 1), AtMs: int64(i + 1)})
	}
	if n := len(w.nodes["e"].procs[0].claims); n != maxClaims {
		t.Errorf("%d claims wait, want %d", n, maxClaims)
	}
	w.Settle("e", func(crdt.Incarnation) uint64 { return 10 * maxClaims })
	if w.AsOf("e") != 10*maxClaims {
		t.Errorf("complete until %d: the newest claim was lost", w.AsOf("e"))
	}
}

func TestExtentNamesWhoIsMissing(t *testing.T) {
	w := NewWatch(2000)
	all := func(crdt.Incarnation) uint64 { return 1 }
	for i, node := range []string{"a", "b", "c"} {
		w.Claim(node, Claim{Head: 1, AtMs: int64(1000 * (i + 1))})
		w.Settle(node, all)
	}
	w.Expect("d")
	e := w.Extent(3500)
	if e.Expected != 4 || e.Heard != 2 || e.CompleteUntilMs != 2000 || e.OldestMissingMs != 0 || !slices.Equal(e.Missing, []string{"a", "d"}) {
		t.Errorf("%+v", e)
	}
	for i := range 2 * MaxMissing {
		w.Expect(fmt.Sprint("n", i))
	}
	if e := w.Extent(3500); len(e.Missing) != MaxMissing || e.Expected != 4+2*MaxMissing {
		t.Errorf("%d names of %d nodes", len(e.Missing), e.Expected)
	}
}
