package reconcile

import (
	"cmp"
	"maps"
	"slices"

	"meshd/crdt"
	"meshd/internal/wire"
)

// ordered remembers the origins of a map, and what is held of them, in order. Who adds or deletes an origin forgets it; a
// list that was handed out stays as it is.
type ordered[V any] struct {
	keys []crdt.Origin
	vals []V
}

func (o *ordered[V]) forget() { o.keys, o.vals = nil, nil }

func (o *ordered[V]) of(m map[crdt.Origin]V) *ordered[V] {
	if len(o.keys) != len(m) {
		o.keys = slices.SortedFunc(maps.Keys(m), crdt.Origin.Compare)
		o.vals = make([]V, 0, len(o.keys))
		for _, k := range o.keys {
			o.vals = append(o.vals, m[k])
		}
	}
	return o
}

// fewCells is how many cells out of order are placed as quickly one by one as in the order of their seqs.
const fewCells = 32

// bySeq returns the indexes of a frame's cells in the order of their seqs, nil where the order of the frame does: every cell is
// then placed at the end of the list of its replica. A frame has its cells by kind and series; in a catch-up, whose cells
// changed at as many seqs as there are, each would be sought a place for from the end.
func bySeq(cells []wire.Cell) []int32 {
	if len(cells) <= fewCells || slices.IsSortedFunc(cells, func(a, b wire.Cell) int { return cmp.Compare(a.Seq, b.Seq) }) {
		return nil
	}
	order := make([]int32, len(cells))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortStableFunc(order, func(a, b int32) int { return cmp.Compare(cells[a].Seq, cells[b].Seq) })
	return order
}
