package history

import (
	"encoding/binary"
	"fmt"

	"meshd/crdt"
	"meshd/internal/column"
)

// A chunk holds the windows of one series, owner and width within one span, in columns:
//
//	byte     version, 1
//	byte     kind of the values
//	byte     form: 0 columns of the kind's own, 1 canonical bytes
//	uvarint  windows
//	uvarint  runs of windows without a gap; a column each of the windows left out before a run, and of its length less one
//	...      values
//
//	counter       a column of amounts
//	updown        amounts P, amounts N
//	rollup        chunk_rollup.go
//	distribution  chunk_distribution.go
//	observed      chunk_observed.go
//	others        a column of blobs
//
// Columns are described in package column. A chunk is written whole and never changed.
const (
	chunkVersion = 1

	formColumns = 0
	formBlobs   = 1

	// maxPoints bounds the windows of a chunk, and what a damaged one makes its reader allocate: a span has 2,880 at most.
	maxPoints = 1 << 12
	// maxParts bounds the buckets or runs of all windows of a chunk: far more than one within splitBytes has.
	maxParts = 1 << 20
)

// errChunk is wrapped by every refusal of bytes that are no chunk.
var errChunk = fmt.Errorf("history: malformed chunk")

// encoder writes chunks. The zero encoder is ready; it is not safe for concurrent use.
type encoder struct {
	col    column.Encoder
	ints   [3][]int64
	floats []float64
	near   []float64
	fixed  []crdt.Fixed
	bytes  []byte
	ends   []int
}

// decoder reads chunks. The zero decoder is ready; it is not safe for concurrent use.
type decoder struct {
	col     column.Decoder
	starts  []int64
	ints    [4][]int64
	floats  [4][]float64
	rollups []crdt.Rollup // of the points that were read since reset
	newest  bool          // of rollups, Min, Max, Sum and Expected are not wanted: see Selection.Newest
}

// reset takes back the memory behind the points that were read.
func (d *decoder) reset() { d.rollups = d.rollups[:0] }

// appendChunk appends the chunk of points, which ascend, have one width and kind, and begin at or after base.
func (e *encoder) appendChunk(dst []byte, base int64, points []Point) []byte {
	kind, form := points[0].Value.Kind, byte(formColumns)
	if !hasColumns(kind) || !fitColumns(kind, points) {
		form = formBlobs
	}
	dst = append(dst, chunkVersion, byte(kind), form)
	dst = binary.AppendUvarint(dst, uint64(len(points)))
	dst = e.appendPresence(dst, base, points)
	if form == formBlobs {
		return e.appendBlobs(dst, points)
	}
	switch kind {
	case crdt.KindCounter:
		return e.appendAmounts(dst, points, func(v *crdt.Value) crdt.Fixed { return v.P })
	case crdt.KindUpDown:
		dst = e.appendAmounts(dst, points, func(v *crdt.Value) crdt.Fixed { return v.P })
		return e.appendAmounts(dst, points, func(v *crdt.Value) crdt.Fixed { return v.N })
	case crdt.KindRollup:
		return e.appendRollups(dst, points)
	case crdt.KindDistribution:
		return e.appendDistributions(dst, points)
	default: // observed: see hasColumns
		return e.appendObserved(dst, points)
	}
}

func hasColumns(k crdt.Kind) bool {
	switch k {
	case crdt.KindCounter, crdt.KindUpDown, crdt.KindRollup, crdt.KindDistribution, crdt.KindObserved:
		return true
	default:
		return false
	}
}

// fitColumns reports whether every value has what its columns are made of.
func fitColumns(k crdt.Kind, points []Point) bool {
	if k == crdt.KindCounter || k == crdt.KindUpDown {
		return true
	}
	for i := range points {
		switch x := points[i].Value.X.(type) {
		case nil:
			return false
		case *crdt.Observed: // a union of what many observers saw may hold more than Put takes
			n := 0
			for range x.Samples() {
				n++
			}
			if n > crdt.MaxObservedRuns {
				return false
			}
		}
	}
	return true
}

func (e *encoder) appendPresence(dst []byte, base int64, points []Point) []byte {
	gaps, lengths := e.ints[0][:0], e.ints[1][:0]
	next := base
	for i := range points {
		w := points[i].Window
		if w.Start != next || i == 0 {
			gaps, lengths = append(gaps, (w.Start-next)/w.Width), append(lengths, -1)
		}
		lengths[len(lengths)-1]++
		next = w.Start + w.Width
	}
	e.ints[0], e.ints[1] = gaps, lengths
	dst = binary.AppendUvarint(dst, uint64(len(gaps)))
	return e.col.Ints(e.col.Ints(dst, gaps), lengths)
}

func (e *encoder) appendAmounts(dst []byte, points []Point, of func(*crdt.Value) crdt.Fixed) []byte {
	e.fixed = e.fixed[:0]
	for i := range points {
		e.fixed = append(e.fixed, of(&points[i].Value))
	}
	return e.col.Fixed(dst, e.fixed)
}

func (e *encoder) appendBlobs(dst []byte, points []Point) []byte {
	e.bytes, e.ends = e.bytes[:0], e.ends[:0]
	for i := range points {
		e.bytes = points[i].Value.AppendBinary(e.bytes)
		e.ends = append(e.ends, len(e.bytes))
	}
	return e.col.Blobs(dst, e.bytes, e.ends)
}

// points appends the points of chunk b that begin in [from, to). They are valid until reset.
func (d *decoder) points(dst []Point, b []byte, base, width, from, to int64) ([]Point, error) {
	r := &column.Reader{B: b}
	version, kind, form, n := r.Byte(), crdt.Kind(r.Byte()), r.Byte(), r.Uvarint()
	if r.Err != nil || version != chunkVersion || !kind.Valid() || form > formBlobs || n == 0 || n > maxPoints || form == formColumns && !hasColumns(kind) {
		return dst, fmt.Errorf("%w: version %d, %s, form %d, %d windows", errChunk, version, kind, form, n)
	}
	d.readPresence(r, int(n), base, width)
	if r.Err != nil {
		return dst, fmt.Errorf("%w: windows", errChunk)
	}
	low, high := 0, int(n)
	for low < high && d.starts[low] < from {
		low++
	}
	for low < high && d.starts[high-1] >= to {
		high--
	}
	if low == high {
		return dst, nil
	}
	start := len(dst)
	for _, s := range d.starts[low:high] {
		dst = append(dst, Point{Window: crdt.Window{Start: s, Width: width}, Value: crdt.Value{Kind: kind}})
	}
	values := valueRange{points: dst[start:], low: low, n: int(n)}
	var err error
	if form == formBlobs {
		err = d.readBlobs(r, values)
	} else {
		err = d.readColumns(r, kind, values)
	}
	if err == nil && (r.Err != nil || len(r.B) > 0) {
		err = fmt.Errorf("%w: %s of %d windows, %d bytes left", errChunk, kind, n, len(r.B))
	}
	if err != nil {
		return dst[:start], err
	}
	return dst, nil
}

// valueRange is which values of a chunk are wanted: points[i] is value low+i of n.
type valueRange struct {
	points []Point
	low, n int
}

// at returns where value i goes, nil if it is not wanted.
func (v *valueRange) at(i int) *crdt.Value {
	if i -= v.low; i >= 0 && i < len(v.points) {
		return &v.points[i].Value
	}
	return nil
}

func (d *decoder) readColumns(r *column.Reader, kind crdt.Kind, v valueRange) error {
	switch kind {
	case crdt.KindCounter:
		d.readAmounts(r, v, func(v *crdt.Value, f crdt.Fixed) { v.P = f })
	case crdt.KindUpDown:
		d.readAmounts(r, v, func(v *crdt.Value, f crdt.Fixed) { v.P = f })
		d.readAmounts(r, v, func(v *crdt.Value, f crdt.Fixed) { v.N = f })
	case crdt.KindRollup:
		d.readRollups(r, v)
	case crdt.KindDistribution:
		return d.readDistributions(r, v)
	default:
		return d.readObserved(r, v)
	}
	return nil
}

// readPresence fills starts, which ascend if r has no error then.
func (d *decoder) readPresence(r *column.Reader, n int, base, width int64) {
	d.starts = d.starts[:0]
	runs := r.Uvarint()
	if runs == 0 || runs > uint64(n) {
		r.Err = errChunk
		return
	}
	gaps := d.col.Ints(d.ints[0][:0], r, int(runs))
	lengths := d.col.Ints(d.ints[1][:0], r, int(runs))
	d.ints[0], d.ints[1] = gaps, lengths
	next := int64(0)
	for i, gap := range gaps {
		if gap < 0 || gap > maxPoints || lengths[i] < 0 || lengths[i] >= int64(n-len(d.starts)) || i > 0 && gap == 0 {
			r.Err = errChunk
			return
		}
		next += gap
		for range lengths[i] + 1 {
			d.starts = append(d.starts, base+next*width)
			next++
		}
	}
	if len(d.starts) != n || next > maxPoints {
		r.Err = errChunk
	}
}

func (d *decoder) readAmounts(r *column.Reader, v valueRange, set func(*crdt.Value, crdt.Fixed)) {
	d.col.Fixed(r, v.n, func(i int, f crdt.Fixed) {
		if value := v.at(i); value != nil {
			set(value, f)
		}
	})
}

func (d *decoder) readBlobs(r *column.Reader, v valueRange) error {
	all, ends := d.col.Blobs(r, v.n)
	if r.Err != nil {
		return errChunk
	}
	last := 0
	for i, end := range ends {
		b := all[last:end]
		last = end
		value := v.at(i)
		if value == nil {
			continue
		}
		parsed, err := crdt.ParseValue(value.Kind, b, 0)
		if err != nil {
			return fmt.Errorf("%w: %w", errChunk, err)
		}
		*value = parsed
	}
	return nil
}
