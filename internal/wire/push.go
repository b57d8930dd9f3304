package wire

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"meshd/crdt"
)

// Push goes from a hub to an edge of its region: totals of the region and, read at the same instant, what of them is
// the edge's own.
type Push struct {
	Frame []byte // of the hub's ClassRegion origin, as AppendFrame made it; aliases the parsed message or its body
	Yours []Yours

	// Back, if not 0, says that Frame and Yours are told by a Push before it, as a Delta is: Frame is what Base.AppendGains made,
	// Yours what Base.PairsSince did, and Sum is that of the frame and the pairs that are meant.
	Back, Sum uint32
}

// Yours says of one incarnation that the edge's Hello named what the cells of Frame contain of it.
type Yours struct {
	Inc   crdt.Incarnation
	Whole bool        // the totals contain everything up to the named head; no Cells
	Cells []YoursCell // ascending by Index; a cell of the frame that is absent contains nothing of Inc
}

// YoursCell is the part of one incarnation in one cell of the frame. Value has the kind of that cell, which the
// receiver checks; gauges and rollups have no parts and are left out. A Value that is bottom says what absence says.
type YoursCell struct {
	Index uint32 // into the frame's Cells in the order of Frame.Sort
	Value crdt.Value
}

const (
	pushFields    = 4
	yoursFields   = 3
	yoursBytesMin = 1 + 18 + 1 + 2
)

func (m *Push) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("bytes of a frame", len(m.Frame), MaxFrameBytes)
	w.limit("incarnations", len(m.Yours), MaxYours)
	w.limit("parts", partsOf(m.Yours), MaxPushParts)
	w.limit("frames back", int(m.Back), MaxBack)
	w.array(pushFields)
	w.bytes(m.Frame)
	w.array(len(m.Yours))
	for i := range m.Yours {
		y := &m.Yours[i]
		w.array(yoursFields)
		w.bytes(y.Inc[:])
		w.bool(y.Whole)
		cells, err := y.appendCells(nil)
		w.keep(err)
		w.bytes(cells)
	}
	w.uint(uint64(m.Back))
	w.uint(uint64(m.Sum))
	return w.done()
}

// appendCells appends the number of cells (uvarint), packed kinds, packed indices (the first one, then the gaps, less
// one) and the values. None: nothing.
func (y *Yours) appendCells(dst []byte) ([]byte, error) {
	if err := y.check(); err != nil || len(y.Cells) == 0 {
		return dst, err
	}
	vals := make([]uint64, len(y.Cells))
	for i := range y.Cells {
		vals[i] = uint64(y.Cells[i].Value.Kind)
	}
	dst = appendPacked(binary.AppendUvarint(dst, uint64(len(vals))), vals)
	next := uint64(0)
	for i := range y.Cells {
		vals[i] = uint64(y.Cells[i].Index) - next
		next = uint64(y.Cells[i].Index) + 1
	}
	dst = appendPacked(dst, vals)
	return appendValues(dst, len(vals), y.valueAt)
}

func (y *Yours) valueAt(i int) (*crdt.Value, uint64) { return &y.Cells[i].Value, 0 }

// check reports what is wrong with y.
func (y *Yours) check() error {
	if y.Whole && len(y.Cells) > 0 {
		return fmt.Errorf("%w: %v is whole and has %d cells", ErrInvalid, y.Inc, len(y.Cells))
	}
	if len(y.Cells) > MaxFrameCells {
		return fmt.Errorf("%w: %d cells, want at most %d", ErrLimit, len(y.Cells), MaxFrameCells)
	}
	for i := range y.Cells {
		c := &y.Cells[i]
		if c.Index >= MaxFrameCells || i > 0 && y.Cells[i-1].Index >= c.Index {
			return fmt.Errorf("%w: cell %d has index %d", ErrInvalid, i, c.Index)
		}
		if i > 0 && y.Cells[i-1].Value.Kind > c.Value.Kind {
			return fmt.Errorf("%w: %v after %v", ErrInvalid, c.Value.Kind, y.Cells[i-1].Value.Kind)
		}
		if c.Value.Kind == crdt.KindGauge {
			return fmt.Errorf("%w: cell %d: gauges have no parts", ErrInvalid, i)
		}
		if err := checkValue(crdt.ClassNode, &c.Value); err != nil {
			return fmt.Errorf("%w: cell %d: %w", ErrInvalid, i, err)
		}
	}
	return nil
}

// partsOf returns the number of cells of all Yours.
func partsOf(yours []Yours) int {
	n := 0
	for i := range yours {
		n += len(yours[i].Cells)
	}
	return n
}

// parsePush reads a Push that may have at most limit parts.
func parsePush(b []byte, limit int) (*Push, error) {
	var m Push
	r := newReader(b)
	extra := r.array(pushFields)
	if m.Frame = r.raw(); len(m.Frame) > MaxFrameBytes {
		r.fail(ErrLimit, "frame of %d bytes, want at most %d", len(m.Frame), MaxFrameBytes)
	}
	if n := r.list("incarnations", MaxYours, yoursBytesMin); n > 0 {
		m.Yours = make([]Yours, n)
	}
	var col unpacker
	for i := range m.Yours {
		y := &m.Yours[i]
		extra := r.array(yoursFields)
		y.Inc, y.Whole = r.id(), r.bool()
		col.reset(r.raw())
		r.skip(extra)
		if r.err != nil {
			break
		}
		if err := y.parseCells(&col, limit); err != nil {
			r.keepAs(err)
			break
		}
		limit -= len(y.Cells)
	}
	m.Back, m.Sum = r.back(), r.uint32("sum")
	r.skip(extra)
	return &m, r.end()
}

func (y *Yours) parseCells(col *unpacker, limit int) error {
	if len(col.b) > 0 {
		n := col.uvarint()
		if n == 0 || n > uint64(min(limit, MaxFrameCells)) || n > blockLen*uint64(len(col.b)) {
			return fmt.Errorf("%w: %d parts, want 1 to %d", ErrLimit, n, limit)
		}
		y.Cells = make([]YoursCell, n)
	}
	for rest := y.Cells; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range col.block(min(len(rest), blockLen)) {
			rest[i].Value.Kind = crdt.Kind(min(v, math.MaxUint8))
		}
	}
	if i := slices.IndexFunc(y.Cells, func(c YoursCell) bool { return !c.Value.Kind.Valid() }); i >= 0 {
		return fmt.Errorf("%w: part %d has the %v", ErrInvalid, i, y.Cells[i].Value.Kind)
	}
	next := uint64(0)
	for rest := y.Cells; len(rest) > 0; rest = rest[min(len(rest), blockLen):] {
		for i, v := range col.block(min(len(rest), blockLen)) {
			if v >= MaxFrameCells || next+v >= MaxFrameCells {
				return fmt.Errorf("%w: index %d above %d", ErrInvalid, v, next)
			}
			rest[i].Index = uint32(next + v)
			next += v + 1
		}
	}
	if err := col.values(len(y.Cells), y.valueAt); err != nil {
		return err
	}
	if err := col.end(); err != nil {
		return err
	}
	return y.check()
}
