package reconcile

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// TestAThinnedFrameHasWhatIsWantedAndItsWholeRange: a filter is the union of its patterns, and what it takes out of a frame moves
// nothing else, so a cursor that passed the frame is true of all that is wanted.
func TestAThinnedFrameHasWhatIsWantedAndItsWholeRange(t *testing.T) {
	names := []string{"web.hits", "web.time", "host.cpu", "hosts", "meshd.lost"}
	rapid.Check(t, func(t *rapid.T) {
		patterns := rapid.SliceOfN(rapid.SampledFrom([]string{"web.*", "host.*", "hosts", "*.time", "nothing"}), 0, 3).Draw(t, "patterns")
		f, err := NewFilter(patterns)
		if err != nil || !slices.Equal(f.Patterns(), patterns) {
			t.Fatalf("a filter of %v is of %v: %v", patterns, f.Patterns(), err)
		}
		o := nodeOrigin("n")
		r := NewReplica(o, NewCatalog())
		fr := frame(o, 0, 1, names, 0, 1, 1, 1, 2, 1, 3, 1, 4, 1)
		if _, err := r.Apply(fr, nil); err != nil {
			t.Fatal(err)
		}
		whole := *fr
		fr.Defs, fr.Cells = slices.Clone(fr.Defs), slices.Clone(fr.Cells)
		f.Thin(r, fr)
		if fr.From != whole.From || fr.To != whole.To || fr.Head != whole.Head {
			t.Fatalf("thinned to (%d, %d] of head %d", fr.From, fr.To, fr.Head)
		}
		for ref, name := range names {
			want := len(patterns) > 0 && strings.HasPrefix(name, ownPrefix)
			for _, p := range patterns { // one at a time
				one, err := NewFilter([]string{p})
				if err != nil {
					t.Fatal(err)
				}
				want = want || one.Name(name)
			}
			defined := slices.ContainsFunc(fr.Defs, func(d wire.Def) bool { return d.Ref == uint32(ref) })
			held := slices.ContainsFunc(fr.Cells, func(c wire.Cell) bool { return c.Ref == uint32(ref) })
			if id, _ := r.cat.Find(&crdt.Series{Name: name, Kind: crdt.KindCounter}); f.Wants(r.cat, id) != want || f.Name(name) != want || defined != want || held != want {
				t.Fatalf("of %v: %s is wanted %v, defined %v, held %v, want %v", patterns, name, f.Name(name), defined, held, want)
			}
		}
	})
	if _, err := NewFilter([]string{"a", "b{"}); err == nil || !strings.Contains(err.Error(), "reconcile: filter") {
		t.Errorf("a pattern that is none: %v", err)
	}
}

// TestCellsOfOneFrameAreHeldInTheOrderOfTheirSeqs: frames have them by series, in a catch-up of many seqs. What is built from them
// afterwards is the same as if each had come alone.
func TestCellsOfOneFrameAreHeldInTheOrderOfTheirSeqs(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := nodeOrigin("n")
		n := rapid.IntRange(1, 3*fewCells).Draw(t, "cells")
		seqs := rapid.Permutation(slices.Collect(func(yield func(uint64) bool) {
			for i := range n {
				if !yield(uint64(i + 1)) {
					return
				}
			}
		})).Draw(t, "seqs")
		f := &wire.Frame{Origin: o, To: uint64(n), Head: uint64(n)}
		single := NewReplica(o, NewCatalog())
		for i, seq := range seqs {
			s := crdt.Series{Name: strings.Repeat("s", i+1), Kind: crdt.KindCounter}
			f.Defs = append(f.Defs, wire.Def{Ref: uint32(i), Seq: uint64(n), Series: s})
			f.Cells = append(f.Cells, wire.Cell{Ref: uint32(i), Seq: seq, Value: counter(seq)})
			one := &wire.Frame{Origin: o, Head: uint64(n), Defs: f.Defs[i:], Cells: f.Cells[i:]}
			if _, err := single.Apply(one, nil); err != nil {
				t.Fatal(err)
			}
		}
		at := NewReplica(o, NewCatalog())
		if _, err := at.Apply(f, nil); err != nil {
			t.Fatal(err)
		}
		from := rapid.Uint64Range(0, uint64(n)).Draw(t, "from")
		a, _ := at.since(from)
		b, _ := single.since(from)
		if !slices.Equal(a, b) || len(a) != n-int(from) {
			t.Fatalf("after %d: %v together and %v one by one, want %d", from, a, b, n-int(from))
		}
		for i, ref := range a {
			if got := at.cells[ref].seq; got != from+uint64(i)+1 {
				t.Fatalf("place %d is of seq %d", i, got)
			}
			if id, ok := at.Series(ref); !ok || at.cat.Series(id).Name != f.Defs[ref].Series.Name {
				t.Fatalf("number %d is of another series", ref)
			}
		}
		if _, ok := at.Series(uint32(n)); ok {
			t.Fatal("a series that was never defined has a number")
		}
	})
}
