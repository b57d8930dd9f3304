package crdt

import "fmt"

// The compact form of a Fixed. The first byte says how long the rest is; every integer below 1,074,798,720 takes at
// most four bytes, and every number has exactly one form.
//
//	first byte   bytes that follow                          value
//	0x00..0x7f   none                                       0 .. 127
//	0x80..0x9f   1                                          128 + 13 bits
//	0xa0..0xaf   2                                          8,320 + 20 bits
//	0xb0..0xef   3                                          1,056,896 + 30 bits
//	0xf0..0xf6   4..10                                      integer, big endian, not shorter in another form
//	0xf7         -                                          refused
//	0xf8..0xfd   integer part in one of the forms above,    integer part + fraction; the fraction's 48 bits big
//	             then 1..6 bytes of fraction                endian without their trailing zero bytes
//	0xfe, 0xff   -                                          refused
//
// In the second to fourth rows the low bits of the first byte come first.
const (
	compact2 = 1 << 7
	compact3 = compact2 + 1<<13
	compact4 = compact3 + 1<<20
	compact5 = compact4 + 1<<30

	compactInteger  = 0xf0 - 4 // plus the number of bytes
	compactFraction = 0xf8 - 1 // plus the number of bytes
)

// MaxCompactBytes is the longest compact form.
const MaxCompactBytes = 18

var errCompact = fmt.Errorf("crdt: %w: amount", ErrBytes)

// AppendCompact appends the compact form of f.
func (f Fixed) AppendCompact(dst []byte) []byte {
	frac := f.Lo & fractionMask
	if frac == 0 {
		return f.appendInteger(dst)
	}
	n := 6
	for frac&(1<<(48-8*n+8)-1) == 0 {
		n--
	}
	dst = append(dst, compactFraction+byte(n))
	dst = f.appendInteger(dst)
	for i := range n {
		dst = append(dst, byte(frac>>(40-8*i)))
	}
	return dst
}

func (f Fixed) appendInteger(dst []byte) []byte {
	hi, lo := f.integer()
	switch {
	case hi != 0 || lo >= compact5:
		n := 4
		for n < 8 && lo>>(8*n) != 0 || hi != 0 && n < 9 || hi>>8 != 0 && n < 10 {
			n++
		}
		dst = append(dst, compactInteger+byte(n))
		for i := n - 1; i >= 8; i-- {
			dst = append(dst, byte(hi>>(8*(i-8))))
		}
		for i := min(n, 8) - 1; i >= 0; i-- {
			dst = append(dst, byte(lo>>(8*i)))
		}
		return dst
	case lo >= compact4:
		lo -= compact4
		return append(dst, 0xb0+byte(lo>>24), byte(lo>>16), byte(lo>>8), byte(lo))
	case lo >= compact3:
		lo -= compact3
		return append(dst, 0xa0+byte(lo>>16), byte(lo>>8), byte(lo))
	case lo >= compact2:
		lo -= compact2
		return append(dst, 0x80+byte(lo>>8), byte(lo))
	}
	return append(dst, byte(lo))
}

// ParseCompact reads the compact form at the start of b and returns the number of bytes it took. It refuses, with
// ErrBytes, forms that AppendCompact does not write.
func ParseCompact(b []byte) (f Fixed, n int, err error) {
	if len(b) > 0 && b[0] <= 0xf6 {
		if f, n = parseInteger(b); n > 0 {
			return f, n, nil
		}
		return Fixed{}, 0, errCompact
	}
	if len(b) < 3 || b[0] < 0xf8 || b[0] > 0xfd {
		return Fixed{}, 0, errCompact
	}
	size := int(b[0] - compactFraction)
	f, n = parseInteger(b[1:])
	if n == 0 || len(b) < 1+n+size {
		return Fixed{}, 0, errCompact
	}
	frac := b[1+n : 1+n+size]
	if frac[size-1] == 0 {
		return Fixed{}, 0, errCompact
	}
	for i, c := range frac {
		f.Lo |= uint64(c) << (40 - 8*i)
	}
	return f, 1 + n + size, nil
}

// parseInteger returns n = 0 if b does not begin with an integer form; b is not empty.
func parseInteger(b []byte) (f Fixed, n int) {
	switch c := b[0]; {
	case c < 0x80:
		return FixedFromUint(uint64(c)), 1
	case c < 0xa0 && len(b) >= 2:
		return FixedFromUint(compact2 + (uint64(c-0x80)<<8 | uint64(b[1]))), 2
	case c >= 0xa0 && c < 0xb0 && len(b) >= 3:
		return FixedFromUint(compact3 + (uint64(c-0xa0)<<16 | uint64(b[1])<<8 | uint64(b[2]))), 3
	case c >= 0xb0 && c < 0xf0 && len(b) >= 4:
		return FixedFromUint(compact4 + (uint64(c-0xb0)<<24 | uint64(b[1])<<16 | uint64(b[2])<<8 | uint64(b[3]))), 4
	case c >= 0xf0 && c <= 0xf6 && len(b) >= 1+int(c-compactInteger):
		size := int(c - compactInteger)
		var hi, lo uint64
		for _, d := range b[1 : 1+size] {
			hi, lo = hi<<8|lo>>56, lo<<8|uint64(d)
		}
		if b[1] == 0 || hi == 0 && lo < compact5 {
			return Fixed{}, 0
		}
		return fixedFromInteger(hi, lo), 1 + size
	}
	return Fixed{}, 0
}
