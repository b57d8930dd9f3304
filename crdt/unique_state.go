package crdt

import (
	"encoding/binary"
	"slices"
)

// registerBytes is the encoded size of a register, about.
const registerBytes = 2

// Join implements State: the maximum per register.
func (u *Unique) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	rose := u.merge(d.(*Unique), stamp)
	if sum != nil {
		sum.(*Unique).merge(d.(*Unique), sumStamp)
	}
	return rose, nil
}

func (u *Unique) merge(d *Unique, stamp uint64) (rose bool) {
	if d.dense != nil {
		u.grow()
	}
	if u.dense == nil {
		return u.mergeSparse(d.sparse, stamp)
	}
	if d.dense == nil {
		for _, r := range d.sparse {
			rose = u.dense.raise(r.index, r.rank, stamp) || rose
		}
		return rose
	}
	for b := range uniqueBlocks {
		if raiseBlock(u.dense.block(b), d.dense.block(b)) {
			u.dense.stamps[b] = max(u.dense.stamps[b], stamp)
			rose = true
		}
	}
	return rose
}

// mergeSparse merges sorted registers into the sparse form in one pass from the back.
func (u *Unique) mergeSparse(d []register, stamp uint64) (rose bool) {
	fresh, i := 0, 0
	for _, r := range d {
		for i < len(u.sparse) && u.sparse[i].index < r.index {
			i++
		}
		if i == len(u.sparse) || u.sparse[i].index != r.index {
			fresh++
		} else if own := &u.sparse[i]; own.rank < r.rank {
			own.rank, own.stamp = r.rank, max(own.stamp, stamp)
			rose = true
		}
	}
	if fresh == 0 {
		return rose
	}
	i = len(u.sparse) - 1
	out := slices.Grow(u.sparse, fresh)[:len(u.sparse)+fresh]
	for at, j := len(out)-1, len(d)-1; fresh > 0; at-- {
		switch {
		case i >= 0 && out[i].index >= d[j].index:
			if out[i].index == d[j].index {
				j--
			}
			out[at] = out[i]
			i--
		default:
			out[at] = register{stamp: stamp, index: d[j].index, rank: d[j].rank}
			j--
			fresh--
		}
	}
	u.sparse = out
	if len(out) > maxSparse {
		u.grow()
	}
	return true
}

func (d *denseRegisters) block(b int) []uint8 {
	return d.ranks[b*blockRegisters:][:blockRegisters]
}

// raiseBlock lifts the ranks of dst to those of src, eight at a time. Ranks are below 128, so the top bit of each byte
// of (d|top)-s tells whether d >= s there, and nothing is borrowed from the next byte.
func raiseBlock(dst, src []uint8) (rose bool) {
	const top = 0x8080808080808080
	for at := 0; at < blockRegisters; at += 8 {
		d, s := binary.LittleEndian.Uint64(dst[at:]), binary.LittleEndian.Uint64(src[at:])
		keep := (((d | top) - s) & top) >> 7 * 0xff
		if highest := d&keep | s&^keep; highest != d {
			binary.LittleEndian.PutUint64(dst[at:], highest)
			rose = true
		}
	}
	return rose
}

// Covers reports whether no register of o is above u's: whether joining o would change nothing.
func (u *Unique) Covers(o *Unique) bool {
	switch {
	case o.dense == nil && u.dense == nil:
		i := 0
		for _, r := range o.sparse {
			for i < len(u.sparse) && u.sparse[i].index < r.index {
				i++
			}
			if i == len(u.sparse) || u.sparse[i].index != r.index || u.sparse[i].rank < r.rank {
				return false
			}
		}
		return true
	case o.dense == nil:
		return !slices.ContainsFunc(o.sparse, func(r register) bool { return u.dense.ranks[r.index] < r.rank })
	}
	for i, rank := range o.dense.ranks {
		if rank != 0 && u.rank(uint16(i)) < rank {
			return false
		}
	}
	return true
}

// Next implements State. Registers that would not rise are left out.
func (u *Unique) Next(inc State) (State, error) {
	out := new(Unique)
	inc.(*Unique).each(func(index uint16, rank uint8) {
		if rank > u.rank(index) {
			out.set(index, rank, 0)
		}
	})
	return out, nil
}

// set adds a register beyond all that are set.
func (u *Unique) set(index uint16, rank uint8, stamp uint64) {
	if u.dense == nil && len(u.sparse) < maxSparse {
		u.sparse = append(u.sparse, register{stamp: stamp, index: index, rank: rank})
		return
	}
	u.grow()
	u.dense.raise(index, rank, stamp)
}

// Delta implements State. In dense form it carries whole blocks.
func (u *Unique) Delta(from, to uint64) (State, uint64) {
	var out *Unique
	var tag uint64
	take := func(index uint16, rank uint8, stamp uint64) {
		if out == nil {
			out = new(Unique)
		}
		out.set(index, rank, stamp)
		tag = max(tag, stamp)
	}
	if u.dense == nil {
		for _, r := range u.sparse {
			if r.stamp > from && r.stamp <= to {
				take(r.index, r.rank, r.stamp)
			}
		}
	} else {
		for b, stamp := range u.dense.stamps {
			if stamp <= from || stamp > to {
				continue
			}
			for i, rank := range u.dense.block(b) {
				if rank != 0 {
					take(uint16(b*blockRegisters+i), rank, stamp)
				}
			}
		}
	}
	if out == nil {
		return nil, 0
	}
	return out, tag
}

// Stamps implements State.
func (u *Unique) Stamps(from uint64, f func(stamp uint64, size int)) {
	if u.dense != nil {
		for _, stamp := range u.dense.stamps {
			if stamp > from {
				f(stamp, blockRegisters*registerBytes)
			}
		}
		return
	}
	for _, r := range u.sparse {
		if r.stamp > from {
			f(r.stamp, registerBytes)
		}
	}
}

// Restrict implements State.
func (u *Unique) Restrict(d State) State {
	out := new(Unique)
	d.(*Unique).each(func(index uint16, _ uint8) {
		if rank := u.rank(index); rank != 0 {
			out.set(index, rank, u.stamp(index))
		}
	})
	if out.sparse == nil && out.dense == nil {
		return nil
	}
	return out
}

func (u *Unique) stamp(index uint16) uint64 {
	if u.dense != nil {
		return u.dense.stamps[index/blockRegisters]
	}
	i, _ := u.find(index)
	return u.sparse[i].stamp
}

// Combine implements State: a distinct count over origins is a join.
func (u *Unique) Combine(o State) error {
	u.merge(o.(*Unique), 0)
	return nil
}

// AddExcess implements State: own is joined whole, since joining a register twice changes nothing.
func (u *Unique) AddExcess(own, _ State) error {
	u.merge(own.(*Unique), 0)
	return nil
}

// Remove implements State. Registers have no additive part: nothing changes.
func (u *Unique) Remove(State) {}

// Clone implements State.
func (u *Unique) Clone() State {
	out := &Unique{sparse: slices.Clone(u.sparse)}
	if u.dense != nil {
		dense := *u.dense
		out.dense = &dense
	}
	return out
}

// Size implements State.
func (u *Unique) Size() int {
	const header, sparseBytes, denseBytes = 32, 16, uniqueRegisters + 8*uniqueBlocks
	if u.dense != nil {
		return header + denseBytes
	}
	return header + sparseBytes*cap(u.sparse)
}
