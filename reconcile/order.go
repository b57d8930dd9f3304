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

// gap returns between which cells of the list one of seq belongs; ref itself, which is not in the list yet, may be near. Frames
// mostly come in order: then it is the end. A checkpoint comes in parts, each with cells from all over the list: from the
// cell before it on, in the order of seqs, a part costs one way through the list and not one for each of its cells.
func (r *Replica) gap(ref uint32, seq uint64, near int32) (newer, older int32) {
	newer, older = -1, r.newest
	if older < 0 || r.cells[older].seq <= seq {
		return newer, older
	}
	if near >= 0 && near != int32(ref) && r.cells[near].linked && r.cells[near].seq <= seq {
		for older = near; ; older = newer {
			if newer = r.cells[older].newer; newer < 0 || r.cells[newer].seq > seq {
				return newer, older
			}
		}
	}
	for older >= 0 && r.cells[older].seq > seq {
		newer, older = older, r.cells[older].older
	}
	return newer, older
}
