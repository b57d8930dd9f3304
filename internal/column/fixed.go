package column

import (
	"math/bits"

	"meshd/crdt"
)

// A column of amounts is a byte and columns of integers. Byte 0..127: the amounts without that many binary zeros at their end,
// which is all amounts that are whole, halves, quarters... Byte 255: the high 64 bits, then the low ones.

// Fixed appends amounts as a column.
func (e *Encoder) Fixed(dst []byte, values []crdt.Fixed) []byte {
	if len(values) == 0 {
		return dst
	}
	var all crdt.Fixed
	for _, v := range values {
		all.Hi |= v.Hi
		all.Lo |= v.Lo
	}
	shift, length := trailingZeros(all), 128-leadingZeros(all)
	e.scaled = e.scaled[:0]
	if length-shift <= 63 {
		for _, v := range values {
			e.scaled = append(e.scaled, int64(shiftRight(v, uint(shift))))
		}
		return e.Ints(append(dst, byte(shift)), e.scaled)
	}
	e.off = e.off[:0]
	for _, v := range values {
		e.scaled, e.off = append(e.scaled, int64(v.Hi)), append(e.off, int64(v.Lo))
	}
	return e.Ints(e.Ints(append(dst, raw), e.scaled), e.off)
}

func trailingZeros(f crdt.Fixed) int {
	switch {
	case f.Lo != 0:
		return bits.TrailingZeros64(f.Lo)
	case f.Hi != 0:
		return 64 + bits.TrailingZeros64(f.Hi)
	}
	return 0
}

func leadingZeros(f crdt.Fixed) int {
	if f.Hi != 0 {
		return bits.LeadingZeros64(f.Hi)
	}
	return 64 + bits.LeadingZeros64(f.Lo)
}

// shiftRight returns the low 64 bits of f >> n, n below 128.
func shiftRight(f crdt.Fixed, n uint) uint64 {
	if n >= 64 {
		return f.Hi >> (n - 64)
	}
	return f.Lo>>n | f.Hi<<(64-n)
}

func shiftLeft(u uint64, n uint) crdt.Fixed {
	if n >= 64 {
		return crdt.Fixed{Hi: u << (n - 64)}
	}
	return crdt.Fixed{Hi: u >> (64 - n), Lo: u << n}
}

// Fixed reads the next column of n amounts and gives each to set.
func (d *Decoder) Fixed(r *Reader, n int, set func(i int, f crdt.Fixed)) {
	if n == 0 {
		return
	}
	shift := r.Byte()
	if shift >= 128 && shift != raw {
		r.fail()
	}
	d.scaled = d.Ints(d.scaled[:0], r, n)
	if shift == raw {
		d.off = d.Ints(d.off[:0], r, n)
		for i, hi := range d.scaled {
			set(i, crdt.Fixed{Hi: uint64(hi), Lo: uint64(d.off[i])})
		}
		return
	}
	for i, v := range d.scaled {
		set(i, shiftLeft(uint64(v), uint(shift)))
	}
}
