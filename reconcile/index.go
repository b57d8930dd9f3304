package reconcile

// index finds the ref of a series at one origin. Most origins name most of the series that were heard first, so those
// are looked up in a slice that is filled at least to a quarter; others, such as those of one edge among hundreds, in a
// map.
type index struct {
	dense  []uint32 // by SeriesID: ref + 1, 0 for none
	sparse map[SeriesID]uint32
	n      int
}

func (x *index) len() int { return x.n }

func (x *index) get(id SeriesID) (ref uint32, ok bool) {
	if int(id) < len(x.dense) {
		ref = x.dense[id]
		return ref - 1, ref != 0
	}
	ref, ok = x.sparse[id]
	return ref, ok
}

// put enters a series that is not in it.
func (x *index) put(id SeriesID, ref uint32) {
	x.n++
	if n := 4 * (x.n + 4); int(id) < n && int(id) >= len(x.dense) {
		x.grow(min(n, max(int(id)+1, 2*len(x.dense))))
	}
	if int(id) < len(x.dense) {
		x.dense[id] = ref + 1
		return
	}
	if x.sparse == nil {
		x.sparse = map[SeriesID]uint32{}
	}
	x.sparse[id] = ref
}

// grow makes the slice n long and moves what belongs there into it.
func (x *index) grow(n int) {
	dense := make([]uint32, n)
	copy(dense, x.dense)
	x.dense = dense
	for id, ref := range x.sparse {
		if int(id) < n {
			dense[id] = ref + 1
			delete(x.sparse, id)
		}
	}
}
