package column

import (
	"math"
	"slices"
)

// A column of floats is a byte of scale and columns of integers. Scale 0..maxScale: the decimals that the floats are, times
// 10^scale, then by how many floats each is beside its decimal: 0 for all that people and programs round. (VictoriaMetrics
// keeps floats as decimals, too, but loses what is not.) Scale raw: their bits, ordered as the floats are. With near added to the
// scale, decimals are those less the decimals of floats that the reader has: the nearest to what each is expected to be.
const (
	near = 64

	maxScale = 15
	raw      = 255

	// maxOff is how many floats a value may lie beside a decimal: sums of decimals do by a few.
	maxOff = 1 << 10
	// maxDecimal keeps decimals exact as floats.
	maxDecimal = 1 << 53
)

var powers = [maxScale + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// ordered returns the bits of f as an integer that is less for a smaller float; its own inverse on bits.
func ordered(f float64) int64 {
	b := int64(math.Float64bits(f))
	return b ^ int64(uint64(b>>63)>>1)
}

func unordered(i int64) float64 { return math.Float64frombits(uint64(i ^ int64(uint64(i>>63)>>1))) }

// Floats appends values as a column. All come back with the same bits.
func (e *Encoder) Floats(dst []byte, values []float64) []byte {
	if len(values) == 0 {
		return dst
	}
	for scale := range powers {
		if e.scale(values, scale) {
			return e.Ints(e.Ints(append(dst, byte(scale)), e.scaled), e.off)
		}
	}
	e.scaled = e.scaled[:0]
	for _, f := range values {
		e.scaled = append(e.scaled, ordered(f))
	}
	return e.Ints(append(dst, raw), e.scaled)
}

// FloatsNear appends values as a column that is read with as many expected floats, if it is shorter so.
func (e *Encoder) FloatsNear(dst []byte, values, expected []float64) []byte {
	start := len(dst)
	dst = e.Floats(dst, values)
	plain := len(dst)
	for scale := range powers {
		if len(values) > 0 && e.scale(values, scale) && differences(e.scaled, expected, scale, -1) {
			dst = e.Ints(e.Ints(append(dst, byte(near+scale)), e.scaled), e.off)
			break
		}
	}
	if n := len(dst) - plain; n > 0 && n < plain-start {
		return append(dst[:start], dst[plain:]...)
	}
	return dst[:plain]
}

// differences adds sign times the decimals of expected to scaled, and reports whether all have some.
func differences(scaled []int64, expected []float64, scale int, sign int64) bool {
	for i, f := range expected {
		m := math.RoundToEven(f * powers[scale])
		if !(math.Abs(m) < maxDecimal) {
			return false
		}
		scaled[i] += sign * int64(m)
	}
	return true
}

// scale splits all values into decimals and what they are off, and reports whether these are close.
func (e *Encoder) scale(values []float64, scale int) bool {
	e.scaled, e.off = e.scaled[:0], e.off[:0]
	for _, f := range values {
		m := math.RoundToEven(f * powers[scale])
		if !(math.Abs(m) < maxDecimal) { // NaN fails too
			return false
		}
		off := ordered(f) - ordered(float64(int64(m))/powers[scale])
		if off > maxOff || off < -maxOff {
			return false
		}
		e.scaled, e.off = append(e.scaled, int64(m)), append(e.off, off)
	}
	return true
}

// Floats appends the n values of the next column to dst. If r has an error then or had one, they are zeros.
func (d *Decoder) Floats(dst []float64, r *Reader, n int) []float64 { return d.read64(dst, r, n, nil) }

// FloatsNear appends the values of the next column, as many as expected has, to dst. If r has an error then or had one, they
// are zeros.
func (d *Decoder) FloatsNear(dst []float64, r *Reader, expected []float64) []float64 {
	return d.read64(dst, r, len(expected), expected)
}

func (d *Decoder) read64(dst []float64, r *Reader, n int, expected []float64) []float64 {
	start := len(dst)
	dst = slices.Grow(dst, n)[:start+n]
	out := dst[start:]
	if n == 0 {
		return dst
	}
	scale := r.Byte()
	beside := expected != nil && scale >= near && scale <= near+maxScale
	if beside {
		scale -= near
	}
	if scale > maxScale && scale != raw {
		r.fail()
	}
	d.scaled = d.Ints(d.scaled[:0], r, n)
	if beside && r.Err == nil && !differences(d.scaled, expected, int(scale), 1) {
		r.fail()
	}
	if scale == raw {
		for i, v := range d.scaled {
			out[i] = unordered(v)
		}
		return dst
	}
	d.off = d.Ints(d.off[:0], r, n)
	if r.Err != nil {
		clear(out)
		return dst
	}
	div := powers[scale]
	for i, v := range d.scaled {
		out[i] = float64(v)
		if scale > 0 {
			out[i] /= div
		}
		if d.off[i] != 0 {
			out[i] = unordered(ordered(out[i]) + d.off[i])
		}
	}
	return dst
}
