package crdt

import (
	"encoding/binary"
	"maps"
	"math"
	"slices"
)

// AppendBinary implements State. Dots are sorted and grouped by incarnation:
//
//	groups                 uvarint
//	per group:  Inc        16 bytes, ascending
//	            dots       uvarint, at least 1
//	            per dot:   uvarint N less the N before it in the group (0 before the first), at least 1
//	                       uvarint 0 if removed, else 1 + length of the element, which follows
func (s *Set) AppendBinary(dst []byte) []byte {
	dots := slices.SortedFunc(maps.Keys(s.dots), Dot.Compare)
	groups := 0
	for i, d := range dots {
		if i == 0 || dots[i-1].Inc != d.Inc {
			groups++
		}
	}
	dst = binary.AppendUvarint(dst, uint64(groups))
	for len(dots) > 0 {
		n := 1
		for n < len(dots) && dots[n].Inc == dots[0].Inc {
			n++
		}
		dst = append(dst, dots[0].Inc[:]...)
		dst = binary.AppendUvarint(dst, uint64(n))
		last := uint64(0)
		for _, d := range dots[:n] {
			dst = binary.AppendUvarint(dst, d.N-last)
			last = d.N
			dst = s.dots[d].appendBinary(dst)
		}
		dots = dots[n:]
	}
	return dst
}

func (a addition) appendBinary(dst []byte) []byte {
	if a.removed {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(a.elem))+1)
	return append(dst, a.elem...)
}

func parseSet(b []byte, stamp uint64) (State, error) {
	r := byteReader{b: b}
	s := new(Set)
	var inc Incarnation
	for i := range r.count(16 + 3) {
		prev := inc
		copy(inc[:], r.bytes(16))
		n := r.count(2)
		if i > 0 && string(prev[:]) >= string(inc[:]) || n == 0 || len(s.dots)+n > MaxJoinedDots {
			r.fail()
			break
		}
		s.parseGroup(&r, inc, n, stamp)
	}
	if err := r.done(KindSet); err != nil {
		return nil, err
	}
	return s, nil
}

func (s *Set) parseGroup(r *byteReader, inc Incarnation, n int, stamp uint64) {
	if s.dots == nil {
		s.dots = make(map[Dot]addition, n)
	}
	last := uint64(0)
	for range n {
		step, size := r.uvarint(), r.uvarint()
		if step == 0 || step > math.MaxUint64-last || size > 1+MaxElementBytes {
			r.fail()
			return
		}
		last += step
		a := addition{removed: size == 0, stamp: stamp}
		if size > 1 {
			a.elem = string(r.bytes(int(size) - 1))
		}
		s.dots[Dot{Inc: inc, N: last}] = a
	}
}
