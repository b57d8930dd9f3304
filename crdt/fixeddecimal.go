package crdt

import (
	"fmt"
	"math/big"
	"math/bits"
	"strconv"
)

// maxDecimalBytes bounds the work of ParseFixed. The longest exact decimal of a float64 has 1,076 bytes.
const maxDecimalBytes = 1100

// String returns f as an exact decimal without trailing zeros; 48 fractional bits have at most 48 digits.
func (f Fixed) String() string {
	const chunk = 1e19 // the largest power of ten in 64 bits
	buf := make([]byte, 0, 80)
	hi, lo := f.integer()
	q, r := bits.Div64(hi, lo, chunk) // hi < 2^16 < chunk
	if q > 0 {
		buf = strconv.AppendUint(buf, q, 10)
		for c := uint64(chunk / 10); c > max(r, 1); c /= 10 {
			buf = append(buf, '0')
		}
	}
	buf = strconv.AppendUint(buf, r, 10)
	frac := f.Lo & fractionMask
	if frac == 0 {
		return string(buf)
	}
	buf = append(buf, '.')
	for ; frac != 0; frac &= fractionMask {
		frac *= 10
		buf = append(buf, '0'+byte(frac>>fractionBits))
	}
	return string(buf)
}

// ParseFixed reads a decimal such as "12", "0.1" or "1.5e-3" and returns the nearest Fixed, ties to even: the
// inverse of String. It accepts every number below 2^80, totals included; a door compares with MaxSample itself.
// ErrRange: negative or too large. ErrBytes: no decimal, or longer than 1,100 bytes.
func ParseFixed(s string) (Fixed, error) {
	if f, ok := parseShort(s); ok {
		return f, nil
	}
	d, ok := scanDecimal(s)
	switch {
	case !ok:
		return Fixed{}, fmt.Errorf("crdt: %w: %.40q is not a decimal number", ErrBytes, s)
	case len(d.digits) == 0:
		return Fixed{}, nil
	case d.negative:
		return Fixed{}, fmt.Errorf("crdt: %w: amount %.40s is negative", ErrRange, s)
	case len(d.digits)+d.exp > 25: // 2^80 has 25 digits
		return Fixed{}, fmt.Errorf("crdt: %w: amount %.40s, want less than 2^80", ErrRange, s)
	case len(d.digits)+d.exp < -14: // below 10^-15; half of 2^-48 is 1.8e-15
		return Fixed{}, nil
	}
	f, ok := d.fixed()
	if !ok {
		return Fixed{}, fmt.Errorf("crdt: %w: amount %.40s, want less than 2^80", ErrRange, s)
	}
	return f, nil
}

// parseShort converts up to 19 digits with or without a point, which is what nearly all samples are: a 112-bit
// number divided by a 64-bit power of ten.
func parseShort(s string) (Fixed, bool) {
	var m uint64
	den, digits, point := uint64(1), 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c) && digits < 19:
			m = m*10 + uint64(c-'0')
			digits++
			if point {
				den *= 10
			}
		case c == '.' && !point:
			point = true
		default:
			return Fixed{}, false
		}
	}
	n := FixedFromUint(m)
	if den == 1 {
		return n, digits > 0
	}
	hi, rem := bits.Div64(0, n.Hi, den)
	lo, rem := bits.Div64(rem, n.Lo, den)
	f := Fixed{Hi: hi, Lo: lo}
	if rem > den-rem || rem == den-rem && lo&1 == 1 {
		f, _ = f.Add(Fixed{Lo: 1}) // below 2^112
	}
	return f, true
}

// decimal is digits * 10^exp; digits begin and end with a digit other than 0, or are empty.
type decimal struct {
	negative bool
	digits   []byte
	exp      int
}

// scanDecimal splits [+-]digits[.digits][e[+-]digits], with at least one digit before the exponent.
func scanDecimal(s string) (d decimal, ok bool) {
	if len(s) > maxDecimalBytes {
		return d, false
	}
	i, seen, point := 0, 0, false
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		d.negative = s[i] == '-'
		i++
	}
	for ; i < len(s) && (isDigit(s[i]) || s[i] == '.' && !point); i++ {
		if s[i] == '.' {
			point = true
			continue
		}
		seen++
		if point {
			d.exp--
		}
		if len(d.digits) > 0 || s[i] != '0' {
			d.digits = append(d.digits, s[i])
		}
	}
	if seen == 0 {
		return d, false
	}
	if i < len(s) {
		e, ok := scanExponent(s[i:])
		if !ok {
			return d, false
		}
		d.exp += e
	}
	for n := len(d.digits); n > 0 && d.digits[n-1] == '0'; n-- {
		d.digits = d.digits[:n-1]
		d.exp++
	}
	return d, true
}

// scanExponent reads e[+-]digits to the end of s. Exponents beyond 10^6 in either direction act alike: they are
// held there.
func scanExponent(s string) (int, bool) {
	i, neg := 1, false
	if s[0] != 'e' && s[0] != 'E' {
		return 0, false
	}
	if i < len(s) && (s[i] == '+' || s[i] == '-') {
		neg = s[i] == '-'
		i++
	}
	if i == len(s) {
		return 0, false
	}
	e := 0
	for ; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
		e = min(e*10+int(s[i]-'0'), 1_000_000)
	}
	if neg {
		e = -e
	}
	return e, true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// fixed converts a decimal whose magnitude the caller has bounded, as maxDecimalBytes bounds its digits. It reports
// whether the result is below 2^80.
func (d *decimal) fixed() (Fixed, bool) {
	num, _ := new(big.Int).SetString(string(d.digits), 10)
	den := big.NewInt(1)
	scale := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.exp, -d.exp))), nil)
	if d.exp > 0 {
		num.Mul(num, scale)
	} else {
		den = scale
	}
	q, rem := num.QuoRem(num.Lsh(num, fractionBits), den, new(big.Int))
	if c := rem.Lsh(rem, 1).Cmp(den); c > 0 || c == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(1))
	}
	if q.BitLen() > 128 {
		return Fixed{}, false
	}
	lo := new(big.Int).And(q, new(big.Int).SetUint64(1<<64-1)).Uint64()
	return Fixed{Hi: q.Rsh(q, 64).Uint64(), Lo: lo}, true
}
