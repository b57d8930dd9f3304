package reconcile

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	"meshd/crdt"
	"meshd/internal/wire"
)

// parts makes frames without a cursor, as a checkpoint has them: the cells of each are by series, their seqs from all over.
func parts(n, each int, seqOf func(ref int) uint64) (frames []*wire.Frame) {
	for ref := range n {
		if ref%each == 0 {
			frames = append(frames, &wire.Frame{Origin: crdt.Origin{Region: "r", Node: "n", Inc: crdt.Incarnation{1}}})
		}
		f, seq := frames[len(frames)-1], seqOf(ref)
		f.Defs = append(f.Defs, wire.Def{Ref: uint32(ref), Seq: seq, Series: crdt.Series{Name: fmt.Sprintf("s%d", ref), Kind: crdt.KindCounter}})
		f.Cells = append(f.Cells, wire.Cell{Ref: uint32(ref), Seq: seq, Value: crdt.Value{Kind: crdt.KindCounter, P: crdt.FixedFromUint(seq)}})
	}
	return frames
}

// TestPlacesAreFoundFromAnywhere holds the list of changes to the order of seqs, in both directions, with every cell in it
// once, whatever the order of parts and of the seqs in them, and with cells that change again.
func TestPlacesAreFoundFromAnywhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, each := rapid.IntRange(1, 200).Draw(t, "cells"), rapid.IntRange(1, 80).Draw(t, "of a part")
		last := rapid.Uint64Range(1, 100).Draw(t, "last seq")
		seq := rapid.Uint64Range(1, last)
		r := NewReplica(crdt.Origin{Region: "r", Node: "n", Inc: crdt.Incarnation{1}}, NewCatalog())
		want := map[uint32]uint64{}
		for range rapid.IntRange(1, 3).Draw(t, "times") {
			for _, f := range parts(n, each, func(int) uint64 { return seq.Draw(t, "seq") }) {
				if _, err := r.Apply(f, nil); err != nil {
					t.Fatal(err)
				}
				for _, c := range f.Cells {
					want[c.Ref] = max(want[c.Ref], c.Seq)
				}
			}
		}
		newer, before := int32(-1), last
		for ref := r.newest; ref >= 0; ref = r.cells[ref].older {
			c := &r.cells[ref]
			if c.newer != newer || c.seq > before || c.seq != want[uint32(ref)] {
				t.Fatalf("cell %d is at seq %d behind %d, want seq %d; its newer neighbor is %d, want %d", ref, c.seq, before, want[uint32(ref)], c.newer, newer)
			}
			delete(want, uint32(ref))
			newer, before = ref, c.seq
		}
		if len(want) > 0 {
			t.Fatalf("%d cells are not in the list", len(want))
		}
	})
}

// BenchmarkParts applies the parts of a checkpoint to an empty replica.
func BenchmarkParts(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprintf("cells=%d", n), func(b *testing.B) {
			random := rand.New(rand.NewPCG(1, 1))
			frames := parts(n, 2000, func(int) uint64 { return 1 + random.Uint64N(1000) })
			for b.Loop() {
				r := NewReplica(frames[0].Origin, NewCatalog())
				for _, f := range frames {
					if _, err := r.Apply(f, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
