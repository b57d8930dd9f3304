package crdt

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math"

	"meshd/internal/mutant"
)

// Gauge is the last value that an origin wrote, with its time and the seq of that write. Of two copies the higher
// seq wins. Over origins the newest time wins; sums, averages and extremes over origins are a Rollup.
//
// As an increment a Gauge says what to write: Value at Time or, with Adjust, the last value moved by Value. Dated says
// that Time is the client's own and not that of arrival: then a setting that is older than the last one comes late and
// changes nothing. One dated by its arrival replaces the last whatever the clock did: its node set it later. Adjust and
// Dated have no meaning in a cell.
type Gauge struct {
	Time   HLC // 0 is bottom: Next writes later times only
	Value  float64
	Adjust bool
	Dated  bool

	stamp uint64 // the seq of the write: one part, so it orders the writes of the cell too
}

// Seq returns the seq of the write, 0 for bottom and for increments.
func (g *Gauge) Seq() uint64 { return g.stamp }

// floatBits returns the bits of f, with -0 as 0: one form per value.
func floatBits(f float64) uint64 { return math.Float64bits(f + 0) }

func isFinite(f float64) bool { return f-f == 0 }

// compareTime orders writes of different origins: by time, then by value so that the order is total.
func (g *Gauge) compareTime(h *Gauge) int {
	return cmp.Or(cmp.Compare(g.Time, h.Time), cmp.Compare(floatBits(g.Value), floatBits(h.Value)))
}

// Join implements State. stamp is the seq of d's write; 0 means the one that d carries.
func (g *Gauge) Join(d State, stamp uint64, sum State, sumStamp uint64) (bool, error) {
	in := *d.(*Gauge)
	in.Adjust, in.Dated = false, false
	in.stamp = cmp.Or(stamp, in.stamp)
	if in.Time == 0 || cmp.Or(cmp.Compare(in.stamp, g.stamp), in.compareTime(g)) <= 0 {
		return false, nil
	}
	*g = in
	if s, ok := sum.(*Gauge); ok && in.compareTime(s) > 0 {
		in.stamp = max(s.stamp, sumStamp)
		*s = in
	}
	return true, nil
}

// Late reports whether a setting changes nothing after g: it is dated before it, or is the same once more.
func (g *Gauge) Late(in *Gauge) bool {
	if !in.Dated || in.Adjust || g.Time == 0 || g.Adjust || mutant.On("late gauge counts") {
		return false
	}
	at, last := in.Time.Millis(), g.Time.Millis()
	return at < last || at == last && in.Value == g.Value
}

// Next implements State. The result's time is always after the receiver's, so that the order of seqs and the order
// of times agree within a cell, whatever the clock did. It is nil for a setting that comes late.
func (g *Gauge) Next(inc State) (State, error) {
	in := inc.(*Gauge)
	if g.Late(in) {
		return nil, nil
	}
	out := &Gauge{Time: max(in.Time, g.Time.next()), Value: in.Value}
	if in.Adjust {
		out.Value += g.Value
	}
	if !isFinite(out.Value) {
		return nil, fmt.Errorf("crdt: %w: gauge value %v", ErrRange, out.Value)
	}
	return out, nil
}

// accumulate appends the increment inc to the increment g.
func (g *Gauge) accumulate(inc State) error {
	in := *inc.(*Gauge)
	if g.Late(&in) {
		return nil
	}
	if in.Adjust {
		in.Value += g.Value
		in.Adjust = g.Adjust
	}
	if !isFinite(in.Value) {
		return fmt.Errorf("crdt: %w: gauge value %v", ErrRange, in.Value)
	}
	in.Time = max(in.Time, g.Time)
	*g = in
	return nil
}

// Delta implements State.
func (g *Gauge) Delta(from, to uint64) (State, uint64) {
	if g.stamp <= from || g.stamp > to {
		return nil, 0
	}
	return g.Clone(), g.stamp
}

// Stamps implements State.
func (g *Gauge) Stamps(from uint64, f func(stamp uint64, size int)) {
	if g.stamp > from {
		f(g.stamp, 16)
	}
}

// Restrict implements State.
func (g *Gauge) Restrict(d State) State {
	if g.Time == 0 || d.(*Gauge).Time == 0 {
		return nil
	}
	return g.Clone()
}

// Combine implements State: the newer write stays.
func (g *Gauge) Combine(o State) error {
	if in := o.(*Gauge); in.compareTime(g) > 0 {
		*g = *in
	}
	return nil
}

// AddExcess implements State.
func (g *Gauge) AddExcess(own, _ State) error { return g.Combine(own) }

// Remove implements State: a gauge has no additive part.
func (g *Gauge) Remove(State) {}

// Clone implements State.
func (g *Gauge) Clone() State {
	out := *g
	return &out
}

// AppendBinary implements State: seq as a uvarint, 8 bytes of time, big endian, and the value as the uvarint of its
// IEEE 754 bits in reversed byte order.
func (g *Gauge) AppendBinary(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, g.stamp)
	dst = binary.BigEndian.AppendUint64(dst, uint64(g.Time))
	return appendFloat(dst, g.Value+0)
}

// Size implements State.
func (g *Gauge) Size() int { return 32 }

// parseGauge ignores the stamp that it is given for the one in the bytes, which is part of the value.
func parseGauge(b []byte, _ uint64) (State, error) {
	r := &byteReader{b: b}
	g := &Gauge{stamp: r.uvarint(), Time: HLC(r.uint64()), Value: readFloat(r)}
	if g.Time == 0 && *g != (Gauge{}) {
		r.fail()
	}
	if err := r.done(KindGauge); err != nil {
		return nil, err
	}
	return g, nil
}
