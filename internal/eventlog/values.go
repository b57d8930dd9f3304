package eventlog

import (
	"bytes"
	"math/bits"

	"meshd/crdt"
	"meshd/internal/column"
)

// Forms of values; below them the number of decimals.
const (
	mostDecimals = 6
	formSamples  = 7
	formStates   = 8
)

// Flags of a gauge's increment.
const (
	gaugeAdjust = 1
	gaugeDated  = 2
)

// pointBits is the number of binary digits of a crdt.Fixed behind the point.
const pointBits = 48

// mostWhole bounds what is before the point: with mostDecimals it fits an int64.
const mostWhole = 1 << 42

var powers = [mostDecimals + 1]uint64{1, 10, 100, 1000, 10_000, 100_000, 1_000_000}

// decimal returns f as an integer of so many decimals, if it is that, rounded once as all amounts are.
func decimal(f crdt.Fixed, digits int) (int64, bool) {
	whole, rest := f.Hi<<(64-pointBits)|f.Lo>>pointBits, f.Lo&(1<<pointBits-1)
	if f.Hi >= mostWhole>>(64-pointBits) {
		return 0, false
	}
	hi, lo := bits.Mul64(rest, powers[digits])
	lo, carry := bits.Add64(lo, 1<<(pointBits-1), 0)
	m := int64(whole*powers[digits] + ((hi+carry)<<(64-pointBits) | lo>>pointBits))
	back, ok := amount(m, digits)
	return m, ok && back == f
}

// amount is the inverse of decimal.
func amount(m int64, digits int) (crdt.Fixed, bool) {
	if m < 0 || uint64(m)/powers[digits] >= mostWhole {
		return crdt.Fixed{}, false
	}
	whole, rest := uint64(m)/powers[digits], uint64(m)%powers[digits]
	hi, lo := bits.Mul64(rest, 1<<pointBits)
	part, left := bits.Div64(hi, lo, powers[digits])
	if left >= powers[digits]-left { // no tie rounds down: a tie would need a power of ten with 49 factors of two
		part++
	}
	return (crdt.Fixed{Hi: whole >> (64 - pointBits), Lo: whole << pointBits}).Add(crdt.Fixed{Lo: part})
}

// appendValues appends the values of the events of one shape.
func (e *Encoder) appendValues(dst []byte, s *shape, events []Event) []byte {
	switch s.series.Kind {
	case crdt.KindCounter, crdt.KindUpDown:
		if out, ok := e.appendAmounts(dst, s, events); ok {
			return out
		}
	case crdt.KindDistribution:
		if e.samples(s, events) {
			return e.col.Floats(append(dst, formSamples), e.floats)
		}
	case crdt.KindGauge, crdt.KindRollup, crdt.KindUnique, crdt.KindSet, crdt.KindObserved, crdt.KindHistogram:
	}
	var all []byte
	ends := make([]int, 0, len(s.events))
	for _, i := range s.events {
		inc := &events[i].Inc
		if s.series.Kind == crdt.KindGauge {
			all = append(all, gaugeFlags(inc))
		}
		all = inc.AppendBinary(all)
		ends = append(ends, len(all))
	}
	return e.col.Blobs(append(dst, formStates), all, ends)
}

func gaugeFlags(inc *crdt.Value) (flags byte) {
	g, ok := inc.X.(*crdt.Gauge)
	if ok && g.Adjust {
		flags |= gaugeAdjust
	}
	if ok && g.Dated {
		flags |= gaugeDated
	}
	return flags
}

// appendAmounts appends amounts as integers, if all of them have few decimals.
func (e *Encoder) appendAmounts(dst []byte, s *shape, events []Event) ([]byte, bool) {
	digits := 0 // what has few decimals has more of them, too
	for _, i := range s.events {
		for _, f := range []crdt.Fixed{events[i].Inc.P, events[i].Inc.N} {
			for {
				if _, ok := decimal(f, digits); ok {
					break
				}
				if digits++; digits > mostDecimals {
					return dst, false
				}
			}
		}
	}
	e.ints, e.more = e.ints[:0], e.more[:0]
	for _, i := range s.events {
		p, _ := decimal(events[i].Inc.P, digits)
		n, _ := decimal(events[i].Inc.N, digits)
		e.ints, e.more = append(e.ints, p), append(e.more, n)
	}
	dst = e.col.Ints(append(dst, byte(digits)), e.ints)
	if s.series.Kind == crdt.KindUpDown {
		dst = e.col.Ints(dst, e.more)
	}
	return dst, true
}

// samples collects single samples of a distribution, if all are such.
func (e *Encoder) samples(s *shape, events []Event) bool {
	e.floats = e.floats[:0]
	var again []byte
	for _, i := range s.events {
		d, ok := events[i].Inc.X.(*crdt.Distribution)
		if !ok || d.Count() != 1 {
			return false
		}
		one, v := new(crdt.Distribution), d.Max()
		if one.Observe(v, 1) != nil {
			return false
		}
		e.key, again = d.AppendBinary(e.key[:0]), one.AppendBinary(again[:0])
		if !bytes.Equal(e.key, again) {
			return false
		}
		e.floats = append(e.floats, v)
	}
	return true
}

// readValues reads the increments of the events of one shape.
func (d *Decoder) readValues(r *column.Reader, kind crdt.Kind, n int) []crdt.Value {
	out := make([]crdt.Value, n)
	switch form := r.Byte(); {
	case form <= mostDecimals && (kind == crdt.KindCounter || kind == crdt.KindUpDown):
		d.readAmounts(r, kind, int(form), out)
	case form == formSamples && kind == crdt.KindDistribution:
		d.floats = d.col.Floats(d.floats[:0], r, n)
		for i, v := range d.floats {
			one := new(crdt.Distribution)
			if one.Observe(v, 1) != nil {
				d.refuse(r, "value")
				return out
			}
			out[i] = crdt.Value{Kind: kind, X: one}
		}
	case form == formStates:
		d.readStates(r, kind, out)
	default:
		d.refuse(r, "form of values")
	}
	return out
}

func (d *Decoder) readAmounts(r *column.Reader, kind crdt.Kind, digits int, out []crdt.Value) {
	for part := range 2 {
		if part == 1 && kind != crdt.KindUpDown {
			return
		}
		d.ints = d.col.Ints(d.ints[:0], r, len(out))
		for i, m := range d.ints {
			f, ok := amount(m, digits)
			if !ok {
				d.refuse(r, "amount")
				return
			}
			if out[i].Kind = kind; part == 0 {
				out[i].P = f
			} else {
				out[i].N = f
			}
		}
	}
}

func (d *Decoder) readStates(r *column.Reader, kind crdt.Kind, out []crdt.Value) {
	all, ends := d.col.Blobs(r, len(out))
	if r.Err != nil {
		return
	}
	last := 0
	for i, end := range ends {
		b := all[last:end]
		last = end
		flags := byte(0)
		if kind == crdt.KindGauge && len(b) > 0 {
			flags, b = b[0], b[1:]
		}
		v, err := crdt.ParseValue(kind, b, 0)
		if err != nil || flags > gaugeAdjust|gaugeDated || crdt.MaxCell.Less(v.P) || crdt.MaxCell.Less(v.N) {
			d.refuse(r, "value")
			return
		}
		if g, ok := v.X.(*crdt.Gauge); ok {
			g.Adjust, g.Dated = flags&gaugeAdjust != 0, flags&gaugeDated != 0
		}
		out[i] = v
	}
}
