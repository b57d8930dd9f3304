package node

import (
	"slices"

	"meshd/crdt"
	"meshd/reconcile"
)

// tally is what a commit adds to series, or sets them to. It is used again for the next commit: a map of them, and an object for
// each value, were a quarter of what a commit cost.
type tally struct {
	dense  []uint32                      // by SeriesID: place + 1, 0 for none
	sparse map[reconcile.SeriesID]uint32 // the same, if it is not nil
	ids    []reconcile.SeriesID          // in the order in which they came
	values []crdt.Value                  // of them
}

func (t *tally) len() int { return len(t.ids) }

func (t *tally) place(id reconcile.SeriesID) uint32 {
	switch {
	case t.sparse != nil:
		return t.sparse[id]
	case int(id) < len(t.dense):
		return t.dense[id]
	}
	return 0
}

// get returns what is collected of a series, nil if nothing is. It is valid until the next put.
func (t *tally) get(id reconcile.SeriesID) *crdt.Value {
	if at := t.place(id); at > 0 {
		return &t.values[at-1]
	}
	return nil
}

// put makes v what is collected of a series, of which nothing was, and returns where it is, valid until the next put.
func (t *tally) put(id reconcile.SeriesID, v crdt.Value) *crdt.Value {
	t.ids, t.values = append(t.ids, id), append(t.values, v)
	at := uint32(len(t.ids))
	if t.sparse != nil {
		t.sparse[id] = at
	} else {
		if n := int(id) + 1; n > len(t.dense) {
			t.dense = append(t.dense, make([]uint32, n-len(t.dense))...)
		}
		t.dense[id] = at
	}
	return &t.values[at-1]
}

// sorted returns the series in order. The slice is valid until the next put.
func (t *tally) sorted() []reconcile.SeriesID {
	if slices.IsSorted(t.ids) {
		return t.ids
	}
	return slices.Sorted(slices.Values(t.ids))
}

// tallies are those of a commit.
type tallies struct {
	all  []*tally // up to maxDense of them are kept from commit to commit
	used int
}

const (
	// maxDense bounds the tallies that find series in a slice, four bytes for each one of the process, so 32 MB at
	// reconcile.MaxSeries: one for the cells, one for each of the windows that most commits are about. Late events may be of
	// thousands of windows, with few series each.
	maxDense = 4
	// maxTallyRoom bounds the room that a tally keeps for the next commit: series, 60 bytes each.
	maxTallyRoom = 16 << 10
)

// next returns an empty tally, which is the commit's until clear.
func (ts *tallies) next() *tally {
	if ts.used >= maxDense {
		return &tally{sparse: map[reconcile.SeriesID]uint32{}}
	}
	if ts.used == len(ts.all) {
		ts.all = append(ts.all, new(tally))
	}
	ts.used++
	return ts.all[ts.used-1]
}

// clear empties them for the next commit. No state of a value stays.
func (ts *tallies) clear() {
	for _, t := range ts.all[:ts.used] {
		for _, id := range t.ids {
			t.dense[id] = 0
		}
		clear(t.values)
		t.ids, t.values = t.ids[:0], t.values[:0]
		if max(cap(t.ids), cap(t.values)) > maxTallyRoom {
			t.ids, t.values = nil, nil
		}
	}
	ts.used = 0
}
