package crdt

import (
	"math/bits"
	"slices"
)

// Parameters of the HyperLogLog registers (Heule et al., "HyperLogLog in practice", EDBT 2013). They are part of the
// format: copies of different precision cannot be joined.
const (
	uniquePrecision = 14
	uniqueRegisters = 1 << uniquePrecision
	maxRank         = 64 - uniquePrecision + 1 // 51: fits 6 bits

	blockRegisters = 64 // registers that share a stamp in dense form
	uniqueBlocks   = uniqueRegisters / blockRegisters

	// maxSparse is where the dense form is about as large: 1,152 registers of 16 bytes against 18 KiB.
	maxSparse = 1152
)

// Unique counts distinct values: the greatest rank seen per register. It is sparse, a sorted slice, while few
// registers are set, and then dense. The form is a matter of memory only: it shows neither in the canonical bytes
// nor in a join. The zero value is empty. A Unique is not safe for concurrent use.
type Unique struct {
	sparse []register // sorted by index; unused when dense
	dense  *denseRegisters
}

type register struct {
	stamp uint64
	index uint16
	rank  uint8 // 1 to maxRank
}

type denseRegisters struct {
	ranks  [uniqueRegisters]uint8
	stamps [uniqueBlocks]uint64
}

// InsertHash records the value whose 64-bit hash is h. The hash must be the same at every node and spread all bits
// evenly, as xxHash64 does.
func (u *Unique) InsertHash(h uint64) {
	index := uint16(h >> (64 - uniquePrecision))
	// The bit below the hash bits ends the run of zeros, so that the rank is at most maxRank.
	rank := uint8(bits.LeadingZeros64(h<<uniquePrecision|1<<(uniquePrecision-1)) + 1)
	u.raise(index, rank, 0)
}

// rank returns the rank of a register, 0 if it is not set.
func (u *Unique) rank(index uint16) uint8 {
	if u.dense != nil {
		return u.dense.ranks[index]
	}
	if i, ok := u.find(index); ok {
		return u.sparse[i].rank
	}
	return 0
}

func (u *Unique) find(index uint16) (int, bool) {
	return slices.BinarySearchFunc(u.sparse, index, func(r register, index uint16) int {
		return int(r.index) - int(index)
	})
}

// raise lifts a register to at least rank.
func (u *Unique) raise(index uint16, rank uint8, stamp uint64) {
	if u.dense != nil {
		u.dense.raise(index, rank, stamp)
		return
	}
	i, ok := u.find(index)
	switch {
	case ok && u.sparse[i].rank >= rank:
	case ok:
		u.sparse[i].rank = rank
		u.sparse[i].stamp = max(u.sparse[i].stamp, stamp)
	case len(u.sparse) < maxSparse:
		u.sparse = slices.Insert(u.sparse, i, register{stamp: stamp, index: index, rank: rank})
	default:
		u.grow()
		u.dense.raise(index, rank, stamp)
	}
}

// raise lifts a register to at least rank and reports whether it rose.
func (d *denseRegisters) raise(index uint16, rank uint8, stamp uint64) bool {
	if d.ranks[index] >= rank {
		return false
	}
	d.ranks[index] = rank
	s := &d.stamps[index/blockRegisters]
	*s = max(*s, stamp)
	return true
}

// grow changes to the dense form. A block takes the highest stamp of its registers: a delta then carries more than
// it must, never less.
func (u *Unique) grow() {
	if u.dense != nil {
		return
	}
	u.dense = new(denseRegisters)
	for _, r := range u.sparse {
		u.dense.raise(r.index, r.rank, r.stamp)
	}
	u.sparse = nil
}

// each calls f for every register that is set, by ascending index.
func (u *Unique) each(f func(index uint16, rank uint8)) {
	if u.dense == nil {
		for _, r := range u.sparse {
			f(r.index, r.rank)
		}
		return
	}
	for i, rank := range u.dense.ranks {
		if rank != 0 {
			f(uint16(i), rank)
		}
	}
}

// registers counts those that are set.
func (u *Unique) registers() (n int) {
	if u.dense == nil {
		return len(u.sparse)
	}
	for _, rank := range u.dense.ranks {
		if rank != 0 {
			n++
		}
	}
	return n
}

// histogram counts the registers per rank.
func (u *Unique) histogram() (count [maxRank + 1]int) {
	count[0] = uniqueRegisters
	u.each(func(_ uint16, rank uint8) {
		count[rank]++
		count[0]--
	})
	return count
}
