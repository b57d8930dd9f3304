package ingest

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/bits"
	"strconv"

	"meshd/crdt"
)

// decimal is a number as it was written: man * 10^exp, negative if neg.
type decimal struct {
	man uint64
	exp int
	neg bool
}

// Limits of a number's spelling. A float64 needs at most 17 digits and an exponent of 324, a 128-bit fixed-point
// number 73 digits; what is longer is a fault of the sender and would only cost time.
const (
	maxNumberBytes = 128
	maxExponent    = 400
)

var one = decimal{man: 1}

// numberForm says how a number was written.
type numberForm uint8

const (
	notNumber   numberForm = iota
	shortNumber            // up to 19 significant digits: decimal has all of them
	longNumber             // a number, but decimal has its sign only
)

// parseDecimal reads [+-]digits[.digits][e[+-]digits]. Hexadecimal numbers, infinities, NaN and digit separators are
// not numbers here.
func parseDecimal(b []byte) (d decimal, form numberForm) {
	if len(b) > maxNumberBytes {
		return decimal{}, notNumber
	}
	i := 0
	if i < len(b) && (b[i] == '+' || b[i] == '-') {
		d.neg = b[i] == '-'
		i++
	}
	form = shortNumber
	digits, point := 0, false
	for ; i < len(b); i++ {
		c := b[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		digits++
		if d.man >= 1e18 { // a 20th digit
			form = longNumber
			continue
		}
		d.man = d.man*10 + uint64(c-'0')
		if point {
			d.exp--
		}
	}
	if digits == 0 {
		return decimal{}, notNumber
	}
	if i < len(b) {
		e, ok := parseExponent(b[i:])
		if !ok {
			return decimal{}, notNumber
		}
		d.exp += e
	}
	return d, form
}

// parseExponent reads e[+-]digits to the end of b.
func parseExponent(b []byte) (e int, ok bool) {
	if b[0] != 'e' && b[0] != 'E' {
		return 0, false
	}
	b = b[1:]
	neg := false
	if len(b) > 0 && (b[0] == '+' || b[0] == '-') {
		neg = b[0] == '-'
		b = b[1:]
	}
	if len(b) == 0 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		if e = e*10 + int(c-'0'); e > maxExponent {
			return 0, false
		}
	}
	if neg {
		e = -e
	}
	return e, true
}

// float returns d as a float64, correctly rounded for up to 15 digits.
func (d decimal) float() float64 {
	f := float64(d.man)
	if d.exp < 0 {
		f /= math.Pow10(-d.exp)
	} else {
		f *= math.Pow10(d.exp)
	}
	if d.neg {
		return -f
	}
	return f
}

// amountOf returns the magnitude of the number text divided by rate, rounded once to the nearest Fixed, ties to even.
// d and form are what parseDecimal made of text. ok is false beyond crdt.MaxSample.
func amountOf(text []byte, d decimal, form numberForm, rate decimal) (f crdt.Fixed, ok bool) {
	if form == shortNumber {
		if f, ok = divide(d, rate); ok {
			return f, !crdt.MaxSample.Less(f)
		}
	}
	return divideLong(text, rate)
}

// divide returns a/b if the fraction fits a 64-bit numerator and denominator, as all but odd spellings do.
func divide(a, b decimal) (crdt.Fixed, bool) {
	num, den := a.man, b.man
	switch e := a.exp - b.exp; {
	case num == 0:
		return crdt.Fixed{}, true
	case e > 19 || e < -19:
		return crdt.Fixed{}, false
	case e > 0:
		over, lo := bits.Mul64(num, powersOfTen[e])
		if over != 0 {
			return crdt.Fixed{}, false
		}
		num = lo
	case e < 0:
		over, lo := bits.Mul64(den, powersOfTen[-e])
		if over != 0 {
			return crdt.Fixed{}, false
		}
		den = lo
	}
	n := crdt.FixedFromUint(num)
	if den == 1 { // most counts: the division would be a tenth of a line's time
		return n, true
	}
	hi, rem := bits.Div64(0, n.Hi, den)
	lo, rem := bits.Div64(rem, n.Lo, den)
	f := crdt.Fixed{Hi: hi, Lo: lo}
	if rem > den-rem || rem == den-rem && lo&1 == 1 {
		f, _ = f.Add(crdt.Fixed{Lo: 1}) // below 2^112
	}
	return f, true
}

var powersOfTen = [20]uint64{
	1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19,
}

// divideLong is divide for any spelling. maxNumberBytes and maxExponent bound its work.
func divideLong(text []byte, rate decimal) (crdt.Fixed, bool) {
	r, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return crdt.Fixed{}, false
	}
	// r / (man * 10^exp): the divisor as a fraction of integers.
	by := new(big.Rat).SetInt(new(big.Int).SetUint64(rate.man))
	scale := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(rate.exp, -rate.exp))), nil))
	if rate.exp < 0 {
		scale.Inv(scale)
	}
	r.Abs(r).Quo(r, by.Mul(by, scale))
	if r.Cmp(new(big.Rat).SetUint64(1<<63)) > 0 {
		return crdt.Fixed{}, false
	}
	const fractionBits = 48 // of crdt.Fixed
	num := new(big.Int).Lsh(r.Num(), fractionBits)
	q, rem := num.QuoRem(num, r.Denom(), new(big.Int))
	if c := rem.Lsh(rem, 1).Cmp(r.Denom()); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	var b [16]byte
	q.FillBytes(b[:])
	return crdt.Fixed{Hi: binary.BigEndian.Uint64(b[:8]), Lo: binary.BigEndian.Uint64(b[8:])}, true
}

// floatOf returns the number text as the nearest float64. d and form are what parseDecimal made of text. ok is false beyond
// its range.
func floatOf(text []byte, d decimal, form numberForm) (f float64, ok bool) {
	if form == shortNumber && d.man < 1<<53 && d.exp >= -maxExactPower && d.exp <= maxExactPower {
		return d.float() + 0, true // of two numbers that a float64 holds: rounded once
	}
	f, err := strconv.ParseFloat(string(text), 64)
	return f + 0, err == nil // -0 is 0
}

// maxExactPower is that of the largest power of ten that a float64 holds.
const maxExactPower = 22
