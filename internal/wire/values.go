package wire

import (
	"errors"
	"fmt"
	"math/bits"

	"meshd/crdt"
)

// Values are written in groups of one kind, each in columns of its own:
//
//	counter  amounts of P
//	updown   amounts of P, amounts of N
//	gauge    see gauges.go
//	others   packed lengths in bytes, then the canonical bytes of the states; 0 bytes are bottom
//
// Amounts are three packed columns: the low 64 bits of the whole part, the 48 bits of the fraction reversed (so that
// halves and quarters are short), the high 16 bits of the whole part. The last two cost a byte for 128 whole numbers.
const (
	fractionBits = 48
	fractionMask = 1<<fractionBits - 1
	highLimit    = 1<<16 - 1
)

// valueAt gives the i-th value of a list of cells and the seq of its cell, which stamps its parts.
type valueAt func(i int) (v *crdt.Value, seq uint64)

// group returns the kind of the value at i and the end of the values of that kind.
func (at valueAt) group(i, n int) (crdt.Kind, int) {
	first, _ := at(i)
	for i++; i < n; i++ {
		if v, _ := at(i); v.Kind != first.Kind {
			break
		}
	}
	return first.Kind, i
}

// from returns the list without its first n values.
func (at valueAt) from(n int) valueAt {
	return func(i int) (*crdt.Value, uint64) { return at(n + i) }
}

func (at valueAt) p(i int) *crdt.Fixed    { v, _ := at(i); return &v.P }
func (at valueAt) n(i int) *crdt.Fixed    { v, _ := at(i); return &v.N }
func (at valueAt) state(i int) crdt.State { v, _ := at(i); return v.X }

// appendValues appends the values of n cells that at gives, equal kinds beside each other.
func appendValues(dst []byte, n int, at valueAt) ([]byte, error) {
	scratch := make([]uint64, n)
	for i := 0; i < n; {
		k, j := at.group(i, n)
		vals, at := scratch[:j-i], at.from(i)
		switch k {
		case crdt.KindCounter:
			dst = appendAmounts(dst, vals, at.p)
		case crdt.KindUpDown:
			dst = appendAmounts(appendAmounts(dst, vals, at.p), vals, at.n)
		case crdt.KindGauge:
			dst = appendGauges(dst, vals, at)
		case crdt.KindDistribution, crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindRollup, crdt.KindHistogram:
			dst = appendStates(dst, vals, at.state)
		default:
			return dst, fmt.Errorf("%w: %v", ErrInvalid, k)
		}
		i = j
	}
	return dst, nil
}

func appendAmounts(dst []byte, vals []uint64, at func(int) *crdt.Fixed) []byte {
	for i := range vals {
		f := at(i)
		vals[i] = f.Hi<<(64-fractionBits) | f.Lo>>fractionBits
	}
	dst = appendPacked(dst, vals)
	for i := range vals {
		vals[i] = bits.Reverse64(at(i).Lo&fractionMask) >> (64 - fractionBits)
	}
	dst = appendPacked(dst, vals)
	for i := range vals {
		vals[i] = at(i).Hi >> fractionBits
	}
	return appendPacked(dst, vals)
}

func appendStates(dst []byte, vals []uint64, at func(int) crdt.State) []byte {
	var states []byte
	for i := range vals {
		before := len(states)
		if s := at(i); s != nil {
			states = s.AppendBinary(states)
		}
		vals[i] = uint64(len(states) - before)
	}
	return append(appendPacked(dst, vals), states...)
}

// values reads the values of n cells into what at gives: values whose kind is set.
func (u *unpacker) values(n int, at valueAt) error {
	for i := 0; i < n && u.err == nil; {
		k, j := at.group(i, n)
		size, at := j-i, at.from(i)
		switch k {
		case crdt.KindCounter:
			u.amounts(size, at.p)
		case crdt.KindUpDown:
			u.amounts(size, at.p)
			u.amounts(size, at.n)
		case crdt.KindGauge:
			u.keep(u.gauges(size, at))
		case crdt.KindDistribution, crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindRollup, crdt.KindHistogram:
			u.keep(u.states(size, at))
		default:
			return fmt.Errorf("%w: %v", ErrInvalid, k)
		}
		i = j
	}
	return u.err
}

func (u *unpacker) amounts(n int, at func(int) *crdt.Fixed) {
	for i := 0; i < n; i += blockLen {
		for j, v := range u.block(min(n-i, blockLen)) {
			*at(i + j) = crdt.Fixed{Hi: v >> (64 - fractionBits), Lo: v << fractionBits}
		}
	}
	for i := 0; i < n; i += blockLen {
		for j, v := range u.block(min(n-i, blockLen)) {
			if v > fractionMask {
				u.fail("fraction beyond 48 bits")
			}
			if v != 0 {
				at(i + j).Lo |= bits.Reverse64(v << (64 - fractionBits))
			}
		}
	}
	for i := 0; i < n; i += blockLen {
		for j, v := range u.block(min(n-i, blockLen)) {
			if v > highLimit {
				u.fail("amount beyond 80 bits")
			}
			if v != 0 {
				at(i + j).Hi |= v << fractionBits
			}
		}
	}
}

func (u *unpacker) states(n int, at valueAt) error {
	if u.err != nil || n > blockLen*len(u.b) {
		u.fail("column ends early")
		return u.err
	}
	sizes := make([]uint64, 0, n)
	for i := 0; i < n; i += blockLen {
		sizes = append(sizes, u.block(min(n-i, blockLen))...)
	}
	for i, size := range sizes {
		v, stamp := at(i)
		b := u.take(size)
		if u.err != nil {
			return u.err
		}
		if size == 0 {
			continue // bottom
		}
		var err error
		if v.X, err = crdt.ParseState(v.Kind, b, stamp); err != nil {
			return stateError(err)
		}
	}
	return nil
}

// stateError sorts an error of crdt into the errors of this package.
func stateError(err error) error {
	switch {
	case errors.Is(err, crdt.ErrLimit):
		return fmt.Errorf("%w: %w", ErrLimit, err)
	case errors.Is(err, crdt.ErrRange):
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return fmt.Errorf("%w: %w", ErrMalformed, err)
}
