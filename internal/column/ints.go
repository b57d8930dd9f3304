package column

import (
	"encoding/binary"
	"errors"
	"math"
	"math/bits"

	"github.com/klauspost/compress/fse"
	"github.com/klauspost/compress/zstd"
)

// ErrBytes is returned for every column that Append functions do not write so.
var ErrBytes = errors.New("malformed column")

const (
	formOne    = 0
	formPacked = 1
	formCoded  = 2

	flagUnit = 1 << 4

	literals  = 128 // residuals below are symbols of their own
	classBits = 8   // bits of the least residual that has a class
	symbols   = literals + 2*(64-classBits+1)

	// minCoded is the number of residuals below which the table of an entropy code is never worth its bytes.
	minCoded = 48
)

// Encoder writes columns. It holds scratch memory only: the zero Encoder is ready, and is not safe for concurrent use.
type Encoder struct {
	code      fse.Scratch
	residuals [3][]uint64
	symbol    []byte
	extra     []byte
	scaled    []int64
	off       []int64
	zstd      *zstd.Encoder
}

// Ints appends values as a column. Differences may overflow: they wrap.
func (e *Encoder) Ints(dst []byte, values []int64) []byte {
	if len(values) == 0 {
		return dst
	}
	unit, least := unitOf(values)
	best, bestCost := 0, math.Inf(1)
	for order := range min(3, len(values)) {
		e.residuals[order] = appendResiduals(e.residuals[order][:0], values, order, unit, least)
		if cost := costOf(e.residuals[order]) + 12*float64(order); cost < bestCost { // a seed takes a byte or two
			best, bestCost = order, cost
		}
	}
	form, body := e.body(e.residuals[best])
	head := byte(best) | form<<2
	if unit > 1 {
		head |= flagUnit
	}
	dst = append(dst, head)
	if unit > 1 {
		dst = binary.AppendUvarint(dst, unit)
	}
	switch best {
	case 0:
		dst = binary.AppendVarint(dst, least)
	case 1:
		dst = binary.AppendVarint(dst, values[0])
	case 2:
		dst = binary.AppendVarint(binary.AppendVarint(dst, values[0]), values[1]-values[0])
	}
	return append(dst, body...)
}

// unitOf returns the greatest common divisor of all differences, 1 if they are equal or may overflow, and the least value.
func unitOf(values []int64) (unit uint64, least int64) {
	least, greatest := values[0], values[0]
	for _, v := range values {
		least, greatest = min(least, v), max(greatest, v)
	}
	if uint64(greatest)-uint64(least) >= 1<<61 {
		return 1, least
	}
	for _, v := range values {
		a, b := uint64(v-least), unit
		for b != 0 {
			a, b = b, a%b
		}
		if unit = a; unit == 1 {
			break
		}
	}
	return max(unit, 1), least
}

func zigzag(v int64) uint64   { return uint64(v<<1) ^ uint64(v>>63) }
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }

// appendResiduals appends what is left of the values behind the seeds.
func appendResiduals(dst []uint64, values []int64, order int, unit uint64, least int64) []uint64 {
	div := int64(unit)
	switch order {
	case 0:
		for _, v := range values {
			dst = append(dst, uint64(v-least)/unit)
		}
	case 1:
		for i := 1; i < len(values); i++ {
			dst = append(dst, zigzag((values[i]-values[i-1])/div))
		}
	case 2:
		for i := 2; i < len(values); i++ {
			dst = append(dst, zigzag((values[i]-2*values[i-1]+values[i-2])/div))
		}
	}
	return dst
}

// symbolOf returns the symbol of a residual and the number of its extra bits.
func symbolOf(z uint64) (s byte, extra uint) {
	if z < literals {
		return byte(z), 0
	}
	n := uint(bits.Len64(z))
	return byte(literals + 2*(n-classBits) + uint(z>>(n-2)&1)), n - 2
}

// costOf estimates the bits of residuals: the entropy of their symbols, their extra bits and the table.
func costOf(residuals []uint64) float64 {
	var count [symbols]int
	cost := 0.0
	for _, z := range residuals {
		s, extra := symbolOf(z)
		count[s]++
		cost += float64(extra)
	}
	total := math.Log2(float64(len(residuals)))
	for _, n := range count {
		if n > 0 {
			cost += float64(n)*(total-math.Log2(float64(n))) + 6
		}
	}
	return cost
}

// body returns the residuals in the shortest form. The bytes are valid until the next call.
func (e *Encoder) body(residuals []uint64) (form byte, body []byte) {
	same, all := true, uint64(0)
	for _, z := range residuals {
		same = same && z == residuals[0]
		all |= z
	}
	if same {
		one := uint64(0)
		if len(residuals) > 0 {
			one = residuals[0]
		}
		e.extra = binary.AppendUvarint(e.extra[:0], one)
		return formOne, e.extra
	}
	width := uint(bits.Len64(all))
	packed := 1 + (len(residuals)*int(width)+7)/8
	if coded, ok := e.coded(residuals); ok && len(coded) < packed {
		return formCoded, coded
	}
	w := bitWriter{b: append(e.extra[:0], byte(width))}
	for _, z := range residuals {
		w.write(z, width)
	}
	e.extra = w.done()
	return formPacked, e.extra
}

func (e *Encoder) coded(residuals []uint64) ([]byte, bool) {
	if len(residuals) < minCoded {
		return nil, false
	}
	e.symbol = e.symbol[:0]
	for _, z := range residuals {
		s, _ := symbolOf(z)
		e.symbol = append(e.symbol, s)
	}
	block, err := fse.Compress(e.symbol, &e.code)
	if err != nil { // a single class, or symbols without any order
		return nil, false
	}
	w := bitWriter{b: append(binary.AppendUvarint(e.extra[:0], uint64(len(block))), block...)}
	for _, z := range residuals {
		_, n := symbolOf(z)
		w.write(z&(1<<n-1), n)
	}
	e.extra = w.done()
	return e.extra, true
}
