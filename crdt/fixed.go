package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

// fractionBits is the number of binary digits behind the point: a resolution of 3.6e-15.
const fractionBits = 48

const fractionMask = 1<<fractionBits - 1

// Fixed is an unsigned 128-bit fixed-point number with 48 fractional bits: (Hi * 2^64 + Lo) / 2^48. Amounts are
// rounded once, where they enter; from then on addition is exact, so totals agree to the last bit in whatever order
// they are folded. Fixed values compare with ==.
type Fixed struct{ Hi, Lo uint64 }

// Bounds of amounts. One sample is at most 2^63 and the cell of one writer at most 2^64, so a total (below 2^80)
// has room for 65,536 full cells.
var (
	MaxSample = Fixed{Hi: 1 << (63 + fractionBits - 64)}
	MaxCell   = Fixed{Hi: 1 << (64 + fractionBits - 64)}
)

// FixedFromUint returns u exactly.
func FixedFromUint(u uint64) Fixed { return fixedFromInteger(0, u) }

// fixedFromInteger returns hi * 2^64 + lo; hi is below 2^16.
func fixedFromInteger(hi, lo uint64) Fixed {
	return Fixed{Hi: hi<<fractionBits | lo>>(64-fractionBits), Lo: lo << fractionBits}
}

// integer returns the integer part, hi * 2^64 + lo.
func (f Fixed) integer() (hi, lo uint64) {
	return f.Hi >> fractionBits, f.Hi<<(64-fractionBits) | f.Lo>>fractionBits
}

// FixedFromFloat returns the Fixed nearest to f, ties to the even one. Floats that are multiples of 2^-48 convert
// exactly. NaN, infinities, negative numbers and numbers above MaxSample are ErrRange.
func FixedFromFloat(f float64) (Fixed, error) {
	if !(f >= 0 && f <= 1<<63) { // NaN fails too
		return Fixed{}, fmt.Errorf("crdt: %w: amount %v, want 0 to 2^63", ErrRange, f)
	}
	b := math.Float64bits(f) &^ (1 << 63) // -0 is 0
	if b>>52 == 0 {
		return Fixed{}, nil // below 2^-1022
	}
	mant := b&(1<<52-1) | 1<<52
	shift := int(b>>52) - 1075 + fractionBits
	switch {
	case shift >= 0: // at most 59: the result is below 2^112
		return Fixed{Hi: mant >> (64 - shift), Lo: mant << shift}, nil
	case shift < -53: // below half of 2^-48
		return Fixed{}, nil
	}
	q, rem, half := mant>>-shift, mant&(1<<-shift-1), uint64(1)<<(-shift-1)
	if rem > half || rem == half && q&1 == 1 {
		q++
	}
	return Fixed{Lo: q}, nil
}

// IsZero reports whether f is 0.
func (f Fixed) IsZero() bool { return f.Hi|f.Lo == 0 }

// Cmp returns -1, 0 or 1.
func (f Fixed) Cmp(g Fixed) int { return cmp.Or(cmp.Compare(f.Hi, g.Hi), cmp.Compare(f.Lo, g.Lo)) }

// Less reports whether f < g.
func (f Fixed) Less(g Fixed) bool { return f.Hi < g.Hi || f.Hi == g.Hi && f.Lo < g.Lo }

// Max returns the greater of f and g.
func (f Fixed) Max(g Fixed) Fixed {
	if f.Less(g) {
		return g
	}
	return f
}

// Add returns f + g, or 0 and false if that is 2^80 or more.
func (f Fixed) Add(g Fixed) (Fixed, bool) {
	lo, carry := bits.Add64(f.Lo, g.Lo, 0)
	hi, carry := bits.Add64(f.Hi, g.Hi, carry)
	if carry != 0 {
		return Fixed{}, false
	}
	return Fixed{Hi: hi, Lo: lo}, true
}

// Sub returns max(0, f - g).
func (f Fixed) Sub(g Fixed) Fixed {
	lo, borrow := bits.Sub64(f.Lo, g.Lo, 0)
	hi, borrow := bits.Sub64(f.Hi, g.Hi, borrow)
	if borrow != 0 {
		return Fixed{}
	}
	return Fixed{Hi: hi, Lo: lo}
}

// MulUint returns f * n, or 0 and false if that is 2^80 or more.
func (f Fixed) MulUint(n uint64) (Fixed, bool) {
	over, hi := bits.Mul64(f.Hi, n)
	mid, lo := bits.Mul64(f.Lo, n)
	hi, carry := bits.Add64(hi, mid, 0)
	if over|carry != 0 {
		return Fixed{}, false
	}
	return Fixed{Hi: hi, Lo: lo}, true
}

// Float64 returns the float64 nearest to f, ties to even.
func (f Fixed) Float64() float64 {
	if f.Hi == 0 {
		return math.Ldexp(float64(f.Lo), -fractionBits)
	}
	// Keep the top 64 bits and fold the rest into the lowest of them: it only matters whether the rest is zero.
	n := bits.LeadingZeros64(f.Hi)
	top := f.Hi<<n | f.Lo>>(64-n)
	if f.Lo<<n != 0 {
		top |= 1
	}
	return math.Ldexp(float64(top), 64-n-fractionBits)
}

// AppendBinary appends the 16 canonical bytes: Hi and Lo, big endian, so that bytes order as numbers do.
func (f Fixed) AppendBinary(dst []byte) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(dst, f.Hi), f.Lo)
}

// Net is the difference P - N of an updown, which may be negative.
type Net struct{ P, N Fixed }

// Float64 returns the float64 nearest to P - N, ties to even.
func (n Net) Float64() float64 {
	if n.P.Less(n.N) {
		return -n.N.Sub(n.P).Float64()
	}
	return n.P.Sub(n.N).Float64()
}

// String returns P - N as an exact decimal.
func (n Net) String() string {
	if n.P.Less(n.N) {
		return "-" + n.N.Sub(n.P).String()
	}
	return n.P.Sub(n.N).String()
}
