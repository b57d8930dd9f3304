package history

import (
	"math"

	"meshd/crdt"
	"meshd/internal/column"
)

// Columns of a rollup, which a window of a gauge is:
//
//	counts, expected, the last value, its time less the window's start
//	byte 1 and a column of the stamp less that time, or byte 0 if all stamps are counts, which writers of windows stamp with
//	the least value, the greatest and the sum: a column of 0 or 1 each, and one of those values that are not the last value
//	(times the count, for the sum), which they are in most windows of a gauge that was set once; if shorter, less what they are
//	expected near: the last value, for the sum the middle of least and greatest times the count
//
// Times are HLC readings: milliseconds times 2^16.
const (
	stampIsCount = 0
	stampColumn  = 1

	extremes = 3
)

func (e *encoder) appendRollups(dst []byte, points []Point) []byte {
	rollup := func(i int) *crdt.Rollup { return points[i].Value.X.(*crdt.Rollup) }
	ints := func(of func(r *crdt.Rollup, w crdt.Window) int64) {
		e.ints[0] = e.ints[0][:0]
		for i := range points {
			e.ints[0] = append(e.ints[0], of(rollup(i), points[i].Window))
		}
		dst = e.col.Ints(dst, e.ints[0])
	}
	ints(func(r *crdt.Rollup, _ crdt.Window) int64 { return int64(r.Count) })
	ints(func(r *crdt.Rollup, _ crdt.Window) int64 { return int64(r.Expected) })
	e.floats = e.floats[:0]
	for i := range points {
		e.floats = append(e.floats, rollup(i).LastValue+0)
	}
	dst = e.col.Floats(dst, e.floats)
	ints(func(r *crdt.Rollup, w crdt.Window) int64 { return int64(r.Last - crdt.HLCFrom(w.Start, 0)) })
	stamped := byte(stampIsCount)
	for i := range points {
		if r := rollup(i); r.Stamp != crdt.HLC(r.Count) {
			stamped = stampColumn
		}
	}
	if dst = append(dst, stamped); stamped == stampColumn {
		ints(func(r *crdt.Rollup, _ crdt.Window) int64 { return int64(r.Stamp - r.Last) })
	}
	for which := range extremes {
		e.floats, e.near, e.ints[0] = e.floats[:0], e.near[:0], e.ints[0][:0]
		for i := range points {
			value, usual := extreme(rollup(i), which)
			differs := int64(0)
			if math.Float64bits(*value+0) != math.Float64bits(usual) {
				differs = 1
				e.floats, e.near = append(e.floats, *value+0), append(e.near, expected(rollup(i), which))
			}
			e.ints[0] = append(e.ints[0], differs)
		}
		dst = e.col.FloatsNear(e.col.Ints(dst, e.ints[0]), e.floats, e.near)
	}
	return dst
}

// extreme returns one of three fields and what it is if all samples of the window are equal.
func extreme(r *crdt.Rollup, which int) (value *float64, usual float64) {
	switch which {
	case 0:
		return &r.Min, r.LastValue + 0
	case 1:
		return &r.Max, r.LastValue + 0
	default:
		return &r.Sum, r.LastValue*float64(r.Count) + 0
	}
}

// expected returns what a field is near if it is not what it usually is. The fields before it are known.
func expected(r *crdt.Rollup, which int) float64 {
	if which < extremes-1 {
		return r.LastValue
	}
	middle := r.Min/2 + r.Max/2
	return middle * float64(r.Count)
}

// readRollups reads all windows, wanted or not: what their fields are near to is made of those before.
func (d *decoder) readRollups(r *column.Reader, v valueRange) {
	counts, expects := d.column(r, 0, v.n), d.column(r, 1, v.n)
	values := d.col.Floats(d.floats[0][:0], r, v.n)
	last := d.column(r, 2, v.n)
	var stamps []int64
	stamped := r.Byte()
	if stamped == stampColumn {
		stamps = d.column(r, 3, v.n)
	}
	d.floats[0] = values
	if r.Err != nil || stamped > stampColumn {
		r.Err = errChunk
		return
	}
	first := len(d.rollups)
	for i, start := range d.starts {
		when := crdt.HLCFrom(start, 0) + crdt.HLC(last[i])
		stamp := crdt.HLC(uint32(counts[i]))
		if stamped == stampColumn {
			stamp = when + crdt.HLC(stamps[i])
		}
		d.rollups = append(d.rollups, crdt.Rollup{
			Stamp: stamp, Last: when, Count: uint32(counts[i]), Expected: uint32(expects[i]), LastValue: finite(r, values[i]),
		})
	}
	slab := d.rollups[first:]
	if d.newest {
		r.B = nil // nothing else of the chunk is looked at
	} else {
		for which := range extremes {
			d.readExtremes(r, slab, which)
		}
	}
	for i := range v.points {
		v.points[i].Value.X = &slab[v.low+i]
	}
}

// readExtremes sets one of three fields of all rollups.
func (d *decoder) readExtremes(r *column.Reader, slab []crdt.Rollup, which int) {
	flags := d.column(r, 0, len(slab))
	near := d.floats[1][:0]
	for i, f := range flags {
		value, usual := extreme(&slab[i], which)
		*value = finite(r, usual)
		if f != 0 && f != 1 {
			r.Err = errChunk
		}
		if f == 1 {
			near = append(near, expected(&slab[i], which))
		}
	}
	d.floats[1] = near
	others := d.col.FloatsNear(d.floats[2][:0], r, near)
	d.floats[2] = others
	for i, f := range flags {
		if f == 1 && len(others) > 0 {
			value, _ := extreme(&slab[i], which)
			*value = finite(r, others[0])
			others = others[1:]
		}
	}
}

// column reads a column of integers into scratch of its own.
func (d *decoder) column(r *column.Reader, scratch, n int) []int64 {
	d.ints[scratch] = d.col.Ints(d.ints[scratch][:0], r, n)
	return d.ints[scratch]
}

// finite refuses what no gauge holds.
func finite(r *column.Reader, f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		r.Err = errChunk
		return 0
	}
	return f
}
