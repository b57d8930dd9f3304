package wire

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"meshd/crdt"
)

// Delta carries a frame whose amounts are less by what the same cells had in the frame of that origin that the session
// carried before it. A receiver that keeps that one adds them up and has the frame that the sender had: what is joined is
// always absolute. It is for lines that are paid for by the byte and only goes to who asked for it (Link.Deltas): a
// counter that gained a thousand since takes ten bits and not thirty.
type Delta struct {
	Frame []byte // as AppendFrame made it of what Since returned; aliases the parsed message or its body
	Sum   uint32 // Sum of the frame that is meant
}

// MaxBaseCells bounds the cells of a frame that the next one of its origin may be told by: kept ones take 88 bytes each,
// and a longer one was a catch-up, whose cells seldom change again soon.
const MaxBaseCells = 4096

const deltaFields = 2

func (m *Delta) append(dst []byte) ([]byte, error) {
	w := newWriter(dst)
	w.limit("bytes of a frame", len(m.Frame), MaxFrameBytes)
	w.array(deltaFields)
	w.bytes(m.Frame)
	w.uint(uint64(m.Sum))
	return w.done()
}

func parseDelta(b []byte) (*Delta, error) {
	var m Delta
	r := newReader(b)
	extra := r.array(deltaFields)
	m.Frame, m.Sum = r.raw(), r.uint32("sum")
	if len(m.Frame) > MaxFrameBytes {
		r.fail(ErrLimit, "frame of %d bytes, want at most %d", len(m.Frame), MaxFrameBytes)
	}
	r.skip(extra)
	return &m, r.end()
}

// MayBeBase reports whether the next frame of f's origin may be told by what differs from f.
func (f *Frame) MayBeBase() bool {
	return f.Stream == crdt.StreamLifetime && len(f.Cells) <= MaxBaseCells
}

// Since returns f with the amounts that base has, too, taken off, or nil if base has none of its cells or, as a writer's
// never are, higher ones. Both are sorted. It shares all else with f.
func (f *Frame) Since(base *Frame) *Frame {
	out, some := *f, false
	out.Cells = slices.Clone(f.Cells)
	ok := matching(out.Cells, base, func(c, was *Cell) bool {
		if c.Value.P.Less(was.Value.P) || c.Value.N.Less(was.Value.N) {
			return false
		}
		c.Value.P, c.Value.N = c.Value.P.Sub(was.Value.P), c.Value.N.Sub(was.Value.N)
		some = true
		return true
	})
	if !ok || !some {
		return nil
	}
	return &out
}

// Atop undoes Since, in place. A frame that was not meant to be told by base, by its sum, is refused.
func (f *Frame) Atop(base *Frame, sum uint32) error {
	ok := base != nil && matching(f.Cells, base, func(c, was *Cell) bool {
		p, fits := c.Value.P.Add(was.Value.P)
		n, fit := c.Value.N.Add(was.Value.N)
		c.Value.P, c.Value.N = p, n
		return fits && fit
	})
	if !ok || f.Sum() != sum {
		return fmt.Errorf("wire: %w: frame of %s told by another one than it was made with", ErrInvalid, f.Origin)
	}
	for i := range f.Cells {
		if err := checkValue(f.Origin.Class, &f.Cells[i].Value); err != nil {
			return fmt.Errorf("wire: %w: cell %d: %w", ErrInvalid, i, err)
		}
	}
	return nil
}

// matching calls do for the cells of amounts that base has, too, until it returns false.
func matching(cells []Cell, base *Frame, do func(c, was *Cell) bool) bool {
	i := 0
	for j := range cells {
		c := &cells[j]
		for i < len(base.Cells) && compareCells(base.Cells[i], *c) < 0 {
			i++
		}
		if i == len(base.Cells) {
			break
		}
		if amounts(c.Value.Kind) && compareCells(base.Cells[i], *c) == 0 && !do(c, &base.Cells[i]) {
			return false
		}
	}
	return true
}

func amounts(k crdt.Kind) bool { return k == crdt.KindCounter || k == crdt.KindUpDown }

// Sum returns the CRC-32C of the frame's refs and amounts.
func (f *Frame) Sum() uint32 {
	sum := uint32(0)
	var b [4 + 4*8]byte
	for i := range f.Cells {
		c := &f.Cells[i]
		binary.LittleEndian.PutUint32(b[:], c.Ref)
		for j, v := range []uint64{c.Value.P.Lo, c.Value.P.Hi, c.Value.N.Lo, c.Value.N.Hi} {
			binary.LittleEndian.PutUint64(b[4+8*j:], v)
		}
		sum = crc32.Update(sum, castagnoli, b[:])
	}
	return sum
}
