package wire

import (
	"encoding/binary"
	"fmt"
	"slices"

	"meshd/crdt"
)

// Delta carries a frame by what its amounts gained since the frame of the same origin that the session carried before it. A
// receiver that keeps that one adds them up and has the frame that the sender had: what is joined is always absolute. It is
// for lines that are paid for by the byte and only goes to who asked for it (Link.Deltas): a counter that gained a thousand
// since takes ten bits and not thirty, and what the base says already is not said again.
type Delta struct {
	Back  uint32 // the base is so many frames of cells back in this direction of the session; 1 is the last one
	Gains []byte // as Base.AppendGains made it; aliases the parsed message or its body
	Sum   uint32 // Sum of the frame that is meant
}

// Base is a frame that the next one of its origin may be told by and, if it came in a Push, its pairs.
type Base struct {
	Frame *Frame
	Yours []Yours
}

// What a receiver keeps of a session to tell the next frames by. A cell that is kept takes 88 bytes; a longer frame was a
// catch-up, whose cells seldom change again soon. A flush of the largest mesh takes one frame for each of its regions.
const (
	MaxBaseCells = 4096
	MaxBack      = MaxRegions
)

const deltaFields = 3

func (m *Delta) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("frames back", int(m.Back), MaxBack)
	w.limit("bytes of gains", len(m.Gains), MaxFrameBytes)
	w.array(deltaFields)
	w.uint(uint64(m.Back))
	w.bytes(m.Gains)
	w.uint(uint64(m.Sum))
	return w.done()
}

func parseDelta(b []byte) (*Delta, error) {
	var m Delta
	r := newReader(b)
	extra := r.array(deltaFields)
	m.Back, m.Gains, m.Sum = r.back(), r.raw(), r.uint32("sum")
	if len(m.Gains) > MaxFrameBytes {
		r.fail(ErrLimit, "gains of %d bytes, want at most %d", len(m.Gains), MaxFrameBytes)
	}
	r.skip(extra)
	return &m, r.end()
}

func (r *reader) back() uint32 { return uint32(r.small("frames back", MaxBack)) }

// NewBase returns what the frame after f may be told by, nil if by nothing: publications are told whole, and long frames are
// not kept. yours are the pairs of a Push.
func NewBase(f *Frame, yours []Yours) *Base {
	if !f.tellable() {
		return nil
	}
	if partsOf(yours) > MaxBaseCells {
		yours = nil
	}
	return &Base{Frame: f, Yours: yours}
}

func (f *Frame) tellable() bool {
	return f.Stream == crdt.StreamLifetime && len(f.Cells) <= MaxBaseCells
}

// Gains are the bytes of a frame told by its base:
//
//	uvarint   zigzag of from, less the base's to
//	uvarint   to - from
//	uvarint   head - to
//	uvarint   length of the definitions, and these as in a frame
//	columns   runs, refs, seqs and values as in a frame, one behind the other
//
// The amounts of counters and updowns that the base has, too, are less by the base's. The origin is the base's.

// AppendGains appends f, sorted, told by b. ok is false if that cannot be: b has none of its cells or, as a writer's never
// are, higher ones.
func (b *Base) AppendGains(dst []byte, f *Frame) (out []byte, ok bool) {
	if !f.tellable() || f.Origin != b.Frame.Origin {
		return dst, false
	}
	told := *f
	told.Cells = slices.Clone(f.Cells)
	if n, ok := matching(told.Cells, b.Frame.Cells, (*Cell).takeOff); !ok || n == 0 {
		return dst, false
	}
	out = binary.AppendUvarint(dst, zigzag(int64(f.From-b.Frame.To)))
	out = binary.AppendUvarint(binary.AppendUvarint(out, f.To-f.From), f.Head-f.To)
	defs := f.appendDefs(nil)
	out = append(binary.AppendUvarint(out, uint64(len(defs))), defs...)
	out = told.appendSeqs(told.appendRefs(appendRuns(out, told.runs())))
	out, err := appendValues(out, len(told.Cells), told.valueAt)
	if err != nil {
		return dst, false
	}
	return out, true
}

// ParseGains returns the frame that gains tell by b. Whether it is the one that was meant says its Sum.
func (b *Base) ParseGains(gains []byte) (*Frame, error) {
	f, err := b.parseGains(gains)
	if err != nil {
		return nil, fmt.Errorf("wire: parse a frame of %s told by another one: %w", b.Frame.Origin, err)
	}
	return f, nil
}

func (b *Base) parseGains(gains []byte) (*Frame, error) {
	var p Parser
	p.col.reset(gains)
	f := &p.frame
	f.Origin, f.Stream = b.Frame.Origin, b.Frame.Stream
	f.From = b.Frame.To + uint64(unzigzag(p.col.uvarint()))
	f.To = f.From + p.col.uvarint()
	f.Head = f.To + p.col.uvarint()
	defs := p.col.take(p.col.uvarint())
	columns := p.col.b
	if p.col.err != nil {
		return nil, p.col.err
	}
	p.col.reset(defs)
	if err := p.parseDefs(); err != nil {
		return nil, err
	}
	if err := p.col.end(); err != nil {
		return nil, err
	}
	p.col.reset(columns)
	if err := p.parseRuns(MaxBaseCells); err != nil {
		return nil, err
	}
	for _, parse := range [...]func() error{p.spread, p.parseRefs, p.parseSeqs, p.parseValues, p.col.end} {
		if err := parse(); err != nil {
			return nil, err
		}
	}
	if _, ok := matching(f.Cells, b.Frame.Cells, (*Cell).putOn); !ok {
		return nil, fmt.Errorf("%w: an amount beyond what counts", ErrInvalid)
	}
	if err := f.check(); err != nil {
		return nil, err
	}
	out := *f
	return &out, nil
}

// PairsSince returns the pairs of f with what b's have of the same cells taken off. ok is false if one of them fell.
func (b *Base) PairsSince(f *Frame, yours []Yours) (out []Yours, ok bool) {
	return b.pairs(f, yours, (*Cell).takeOff)
}

// PairsAtop undoes PairsSince. What came is not changed.
func (b *Base) PairsAtop(f *Frame, gained []Yours) ([]Yours, error) {
	out, ok := b.pairs(f, gained, (*Cell).putOn)
	for i := range out {
		if err := out[i].check(); err != nil {
			return nil, fmt.Errorf("wire: pairs told by others: %w", err)
		}
	}
	if !ok {
		return nil, fmt.Errorf("wire: pairs told by others: %w: not of this frame, or beyond what counts", ErrInvalid)
	}
	return out, nil
}

// pairs does something to every pair that b has one of the same incarnation and cell beside.
func (b *Base) pairs(f *Frame, yours []Yours, do func(c, was *Cell) bool) ([]Yours, bool) {
	out := slices.Clone(yours)
	for i := range out {
		y := &out[i]
		was := slices.IndexFunc(b.Yours, func(o Yours) bool { return o.Inc == y.Inc })
		if was < 0 {
			continue
		}
		before, ok1 := b.Yours[was].of(b.Frame)
		cells, ok2 := y.of(f)
		if !ok1 || !ok2 {
			return nil, false
		}
		if _, ok := matching(cells, before, do); !ok {
			return nil, false
		}
		y.Cells = slices.Clone(y.Cells)
		for j := range cells {
			y.Cells[j].Value = cells[j].Value
		}
	}
	return out, true
}

// of returns the pairs as cells of the frame that they belong to, so that those of two frames can be compared. ok is false if
// one belongs to none.
func (y *Yours) of(f *Frame) (cells []Cell, ok bool) {
	cells = make([]Cell, len(y.Cells))
	for i := range y.Cells {
		c := &y.Cells[i]
		if int(c.Index) >= len(f.Cells) || f.Cells[c.Index].Value.Kind != c.Value.Kind {
			return nil, false
		}
		cells[i] = Cell{Ref: f.Cells[c.Index].Ref, Value: c.Value}
	}
	return cells, true
}

// takeOff takes off what a base has of a cell. It refuses a cell that would fall.
func (c *Cell) takeOff(was *Cell) bool {
	if c.Value.P.Less(was.Value.P) || c.Value.N.Less(was.Value.N) {
		return false
	}
	c.Value.P, c.Value.N = c.Value.P.Sub(was.Value.P), c.Value.N.Sub(was.Value.N)
	return true
}

// putOn undoes takeOff.
func (c *Cell) putOn(was *Cell) bool {
	p, fits := c.Value.P.Add(was.Value.P)
	n, fit := c.Value.N.Add(was.Value.N)
	c.Value.P, c.Value.N = p, n
	return fits && fit
}

// matching calls do for the cells of amounts that base has, too, until it returns false. Both are in order.
func matching(cells, base []Cell, do func(c, was *Cell) bool) (matched int, ok bool) {
	i := 0
	for j := range cells {
		c := &cells[j]
		for i < len(base) && compareCells(base[i], *c) < 0 {
			i++
		}
		if i == len(base) {
			break
		}
		if !amounts(c.Value.Kind) || compareCells(base[i], *c) != 0 {
			continue
		}
		if !do(c, &base[i]) {
			return matched, false
		}
		matched++
	}
	return matched, true
}

func amounts(k crdt.Kind) bool { return k == crdt.KindCounter || k == crdt.KindUpDown }
