package crdt

import (
	"encoding/binary"
	"slices"
)

// The canonical bytes of a Unique with n registers set:
//
//	n <= 8,192:  0 | uvarint n | n times uvarint (index - previous index - 1) << 6 | rank
//	else:        1 | 16,384 ranks of 6 bits, four in three bytes, the first in the lowest bits (12,288 bytes)
//
// The previous index before the first register is -1. The form depends on n alone, not on the form in memory.
const (
	uniqueSparse = 0
	uniqueDense  = 1

	// maxSparseEncoded keeps the sparse form, about 1.25 bytes a register when half of them are set, the smaller one.
	maxSparseEncoded = uniqueRegisters / 2

	rankBits         = 6
	uniqueDenseBytes = uniqueRegisters * rankBits / 8
)

// AppendBinary implements State.
func (u *Unique) AppendBinary(dst []byte) []byte {
	n := u.registers()
	if n > maxSparseEncoded { // then the dense form is in memory too
		dst = append(dst, uniqueDense)
		r := &u.dense.ranks
		for i := 0; i < uniqueRegisters; i += 4 {
			w := uint32(r[i]) | uint32(r[i+1])<<rankBits | uint32(r[i+2])<<(2*rankBits) | uint32(r[i+3])<<(3*rankBits)
			dst = append(dst, byte(w), byte(w>>8), byte(w>>16))
		}
		return dst
	}
	dst = append(dst, uniqueSparse)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = slices.Grow(dst, n+n/4)
	last := -1
	for _, r := range u.sparse { // a call for each register would take as long as all else
		dst = binary.AppendUvarint(dst, uint64(int(r.index)-last-1)<<rankBits|uint64(r.rank))
		last = int(r.index)
	}
	if u.dense == nil {
		return dst
	}
	for i, rank := range u.dense.ranks {
		if rank != 0 {
			dst = binary.AppendUvarint(dst, uint64(i-last-1)<<rankBits|uint64(rank))
			last = i
		}
	}
	return dst
}

func parseUnique(b []byte, stamp uint64) (State, error) {
	r := &byteReader{b: b}
	u := new(Unique)
	switch form := r.bytes(1); {
	case form == nil || form[0] > uniqueDense:
		r.fail()
	case form[0] == uniqueSparse:
		u.readSparse(r, stamp)
	default:
		u.readDense(r, stamp)
	}
	if err := r.done(KindUnique); err != nil {
		return nil, err
	}
	return u, nil
}

func (u *Unique) readSparse(r *byteReader, stamp uint64) {
	n := r.count(1)
	switch {
	case n > maxSparseEncoded:
		r.fail()
		return
	case n > maxSparse:
		u.grow()
	case n > 0:
		u.sparse = make([]register, 0, n)
	}
	last := -1
	for range n {
		v := r.uvarint()
		gap, rank := v>>rankBits, uint8(v&(1<<rankBits-1))
		if rank == 0 || rank > maxRank || gap >= uint64(uniqueRegisters-1-last) {
			r.fail()
			return
		}
		last += int(gap) + 1
		u.set(uint16(last), rank, stamp)
	}
}

func (u *Unique) readDense(r *byteReader, stamp uint64) {
	b := r.bytes(uniqueDenseBytes)
	if b == nil {
		return
	}
	u.grow()
	n := 0
	for i := range uniqueRegisters {
		at := i / 4 * 3
		w := uint32(b[at]) | uint32(b[at+1])<<8 | uint32(b[at+2])<<16
		rank := uint8(w >> (i % 4 * rankBits) & (1<<rankBits - 1))
		if rank > maxRank {
			r.fail()
			return
		}
		if rank != 0 {
			n++
			u.dense.raise(uint16(i), rank, stamp)
		}
	}
	if n <= maxSparseEncoded {
		r.fail()
	}
}
